# SPDX-License-Identifier: Apache-2.0
"""``vjepa demo``: hands over to the demonstration in the ROS package, without importing it."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
import os
from pathlib import Path
import sys

from vjepa_planner.cli.options import add_model_options
from vjepa_planner.errors import MissingDependencyError

_DEMO = 'vjepa_ros.demo'


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'demo',
        help='a simulated Franka reaches the poses in two goal images, over real ROS 2 nodes',
        description='Start the ROS 2 nodes and the simulator, reach the pose in a goal image, '
        'swap the goal through the ROS service while the nodes run, reach the second one. Leaves '
        'a video (episode.mp4), a plot (energy.png) and all numbers (result.json). The exit code '
        'is 0 if both goals were reached.',
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demonstration."""
    parser.add_argument(
        '--seed', type=int, default=3, help='of scene, goals and planner (default: %(default)s)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('out/demo'),
        help='directory for the results (default: %(default)s)',
    )
    add_model_options(parser)
    parser.add_argument(
        '--max-actions',
        type=int,
        default=15,
        help='actions after which a goal counts as not reached (default: %(default)s)',
    )
    parser.add_argument(
        '--domain-id',
        type=int,
        help='ROS domain of the nodes, to look at them from elsewhere (default: an unused one)',
    )


def run(options: argparse.Namespace) -> int:
    """Become the demonstration: signals and the exit code are its own.

    Raises:
        MissingDependencyError: The ROS package is not installed.
    """
    if find_spec('vjepa_ros') is None:
        raise MissingDependencyError(
            'the demonstration is part of the package vjepa_ros, which is not installed. Run '
            '`make demo` in its repository.'
        )
    command = [sys.executable, '-m', _DEMO, '--seed', str(options.seed), '--out', options.out]
    for option in ('model', 'backend', 'device', 'precision', 'max_actions'):
        command += [f'--{option.replace("_", "-")}', str(getattr(options, option))]
    if options.domain_id is not None:
        command += ['--domain-id', str(options.domain_id)]
    sys.stdout.flush()
    os.execv(command[0], [str(argument) for argument in command])
