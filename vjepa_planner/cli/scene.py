# SPDX-License-Identifier: Apache-2.0
"""Where a command's present image, state and goal come from: image files or a recording."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_planner.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vjepa_planner.types import Goal, Observation


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What to plan from.

    Attributes:
        observation: The present image and state.
        goal: The goal image.
        true_action: The action that led from one to the other, shape (7,); None if unknown.
    """

    observation: Observation
    goal: Goal
    true_action: npt.NDArray[np.float64] | None = None


def add_scene_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--image``, ``--goal``, ``--state`` and ``--recording``; :func:`read_scene` reads."""
    files = parser.add_argument_group('from image files')
    files.add_argument('--image', type=Path, help='what the camera sees now')
    files.add_argument('--goal', type=Path, help='how it should look')
    files.add_argument(
        '--state',
        type=float,
        nargs=7,
        metavar=('X', 'Y', 'Z', 'RX', 'RY', 'RZ', 'G'),
        help='end effector in the base frame: metres, extrinsic-xyz Euler angles in radians, and '
        'the closedness of the gripper, 0 open to 1 closed',
    )
    recorded = parser.add_argument_group('from a recording')
    recorded.add_argument(
        '--recording',
        type=Path,
        metavar='FILE.npz',
        help='trajectory with "observations" (or "images") and "states", for example the official '
        'franka_example_traj.npz or a file of vjepa collect',
    )
    recorded.add_argument(
        '--episode',
        type=int,
        default=0,
        help='which trajectory of the file, counted from 0 (default: %(default)s)',
    )
    recorded.add_argument(
        '--step',
        type=int,
        default=0,
        help='step that is the present, counted from 0 (default: %(default)s)',
    )
    recorded.add_argument(
        '--goal-step', type=int, help='step that is the goal (default: the one after --step)'
    )


def read_scene(options: argparse.Namespace) -> Scene:
    """Return what the options of :func:`add_scene_options` name.

    Raises:
        InvalidInputError: Not exactly one source is given, or it cannot be read.
    """
    from vjepa_planner.media import read_image
    from vjepa_planner.types import Goal, Observation

    files = (options.image, options.goal, options.state)
    if options.recording is not None:
        if any(given is not None for given in files):
            raise InvalidInputError(
                '--recording brings images and state along: leave out --image, --goal and --state.'
            )
        return _recorded_scene(options)
    if any(given is None for given in files):
        raise InvalidInputError('give --image, --goal and --state, or --recording.')
    return Scene(
        observation=Observation(image=read_image(options.image), state=options.state),
        goal=Goal(image=read_image(options.goal)),
    )


def _recorded_scene(options: argparse.Namespace) -> Scene:
    from vjepa_planner.data.recordings import load_recording

    recording = load_recording(options.recording, options.episode)
    step = options.step
    goal_step = step + 1 if options.goal_step is None else options.goal_step
    return Scene(
        observation=recording.observation(step),
        goal=recording.goal(goal_step),
        true_action=recording.action(step, goal_step),
    )
