# SPDX-License-Identifier: Apache-2.0
"""``vjepa calibrate``: measures how the model's axes lie in the robot's, by known moves."""

from __future__ import annotations

import argparse
from functools import partial
from importlib import import_module
from importlib.util import find_spec
import math
from pathlib import Path
import sys

from vjepa_planner.cli.options import add_json_option, add_model_options, write_json
from vjepa_planner.errors import InvalidInputError, MissingDependencyError

_CALIBRATION = 'vjepa_ros.calibration'


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'calibrate',
        help='find how the axes of the model lie in those of the robot (moves the arm)',
        description='Have the commander make small known moves around where the arm is, infer '
        'each one from the images before and after it, and write the map from inferred to '
        'executed displacements. The running nodes must have been started by the operator '
        '(service start). The planner applies the map when its parameter calibration_file names '
        'the file. See docs/calibration.md.',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('calibration.yaml'),
        help='where to write the map (default: %(default)s)',
    )
    parser.add_argument(
        '--moves', type=int, default=24, help='half of them go back (default: %(default)s)'
    )
    parser.add_argument(
        '--step', type=float, default=0.05, help='length of a move [m] (default: %(default)g)'
    )
    parser.add_argument(
        '--axes',
        type=int,
        choices=(2, 3),
        default=2,
        help='2: x and y, as in the paper; 3: z as well (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the directions and the planner (default: 0)'
    )
    parser.add_argument(
        '--namespace', default='vjepa', help='of the running nodes (default: %(default)s)'
    )
    parser.add_argument(
        '--yes', action='store_true', help='do not ask before the arm moves (simulation, scripts)'
    )
    add_model_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        MissingDependencyError: ROS is not installed.
        VjepaPlannerError: The arm cannot be moved, or the moves determine no map.
    """
    if not (options.moves > 0 and 0.005 <= options.step <= 0.15):
        raise InvalidInputError(
            f'--moves must be positive and --step in 0.005..0.15, got {options.moves} and '
            f'{options.step:g}.'
        )
    if find_spec('vjepa_ros') is None or find_spec('rclpy') is None:
        raise MissingDependencyError(
            'calibrating is part of the package vjepa_ros, which needs ROS 2. Run `make setup` in '
            'its repository.'
        )
    _confirm(options)
    samples = import_module(_CALIBRATION).measure(options, partial(print, flush=True))
    return _report(options, *samples)


def _confirm(options: argparse.Namespace) -> None:
    """Have the operator say yes before anything moves.

    Raises:
        InvalidInputError: Nobody did.
    """
    print(
        f'The arm will make {options.moves} moves of {100 * options.step:g} cm around where it '
        'is, in all directions, within the limits of the commander. The goal in force is cleared. '
        'Ctrl-C holds the arm.'
    )
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError('nobody is there to confirm the moves; --yes goes without.')
    if input('Is the way free, and the emergency stop at hand? Type yes: ').strip() != 'yes':
        raise InvalidInputError('not confirmed; the arm was not moved.')


def _report(
    options: argparse.Namespace,
    inferred: list[list[float]],
    executed: list[list[float]],
    model: str,
) -> int:
    """Find the map, write it, and say how good it is."""
    from vjepa_planner.calibration import fit_calibration, write_calibration

    results: dict[str, object] = {'inferred': inferred, 'executed': executed, 'model': model}
    write_json(options.json, results)  # also if they determine no map
    calibration = fit_calibration(inferred, executed, model, options.axes)
    write_calibration(options.out, calibration)
    print(
        f'the axes of the robot are turned by {math.degrees(calibration.rotation):.1f} degrees '
        f'against those of the model, scale {calibration.scale:.2f}; condition number '
        f'{calibration.condition_number:.2f}; {100 * calibration.residual:.2f} cm are left of '
        f'moves of {100 * options.step:g} cm'
    )
    for row in calibration.matrix:
        print('  ' + ' '.join(f'{value:8.3f}' for value in row))
    print(f'{options.out}: give it to the planner as calibration_file (an absolute path)')
    fitted = {
        'matrix': calibration.matrix.tolist(),
        'rotation': calibration.rotation,
        'scale': calibration.scale,
        'condition_number': calibration.condition_number,
        'residual': calibration.residual,
    }
    write_json(options.json, results | fitted)
    return 0
