# SPDX-License-Identifier: Apache-2.0
"""``vjepa plan``: one plan from image files, without a robot."""

from __future__ import annotations

import argparse
from pathlib import Path

from vjepa_planner.cli.options import (
    add_json_option,
    add_model_options,
    add_planner_options,
    load_chosen_model,
    parse_settings,
    write_json,
)
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'plan',
        help='plan one action from two image files',
        description='Plan from the present image and state towards a goal image, and print the '
        'actions and the energy.',
    )
    parser.add_argument('--image', type=Path, required=True, help='what the camera sees now')
    parser.add_argument('--goal', type=Path, required=True, help='how it should look')
    parser.add_argument(
        '--state',
        type=float,
        nargs=7,
        required=True,
        metavar=('X', 'Y', 'Z', 'RX', 'RY', 'RZ', 'G'),
        help='end effector in the base frame: metres, extrinsic-xyz Euler angles in radians, and '
        'the closedness of the gripper, 0 open to 1 closed',
    )
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    add_model_options(parser)
    add_planner_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.mpc import ModelPredictiveController
    from vjepa_planner.planners import make_recommended_planner
    from vjepa_planner.types import Goal, Observation

    observation = Observation(image=read_image(options.image), state=options.state)
    goal = Goal(image=read_image(options.goal))
    world_model = load_chosen_model(options)
    planner = make_recommended_planner(
        world_model.config.planner, options.planner, **parse_settings(options.set)
    )
    plan = ModelPredictiveController(world_model, planner, options.seed).plan(observation, goal)
    print('step      dx      dy      dz     drx     dry     drz      dg   [m, rad, closedness]')
    for step, action in enumerate(plan.actions):
        print(f'{step:>4}' + ''.join(f'{value:>8.4f}' for value in action))
    print(
        f'energy {plan.current_energy:.4f} now, {plan.energy:.4f} planned; '
        f'{plan.evaluations} evaluations in {plan.duration:.2f} s'
    )
    write_json(
        options.json,
        {
            'actions': plan.actions.tolist(),
            'energy': plan.energy,
            'current_energy': plan.current_energy,
            'evaluations': plan.evaluations,
            'duration': plan.duration,
        },
    )
    return 0


def read_image(path: Path) -> Image:
    """Return an image file as uint8 RGB, shape (height, width, 3).

    Raises:
        InvalidInputError: There is no such file, or it is not an image.
    """
    import cv2
    import numpy as np

    if not path.is_file():
        raise InvalidInputError(f'no image file at {path}.')
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InvalidInputError(f'{path} cannot be read as an image; PNG and JPEG work.')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
