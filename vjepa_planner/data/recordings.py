# SPDX-License-Identifier: Apache-2.0
"""Recorded trajectories, out of .npz files or datasets: images and the states that they show."""

from __future__ import annotations

from dataclasses import dataclass
import lzma
from pathlib import Path
import zipfile
import zlib

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import state_difference
from vjepa_planner.types import check_state, Goal, Observation, STATE_DIM

# The official notebook's recording calls them observations, our episodes call them images.
_IMAGE_KEYS = ('observations', 'images')
_STATE_KEY = 'states'
# What NumPy may raise.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, OSError)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recorded trajectory.

    Attributes:
        images: RGB, uint8, shape (steps, height, width, 3).
        states: Measured states, shape (steps, 7); see ``vjepa_planner.types``.
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        images, states = self.images, self.states
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise InvalidInputError(
                'a recording needs uint8 RGB images of shape (steps, height, width, 3), got '
                f'{images.dtype} of shape {images.shape}.'
            )
        if states.shape != (len(images), STATE_DIM):
            raise InvalidInputError(
                f'a recording of {len(images)} images needs states of shape ({len(images)}, '
                f'{STATE_DIM}), got {states.shape}.'
            )

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.images)

    def observation(self, step: int) -> Observation:
        """Return what the robot saw and measured at a step.

        Raises:
            InvalidInputError: There is no such step, or the state is not finite.
        """
        self._check(step)
        return Observation(image=self.images[step], state=self.states[step])

    def goal(self, step: int) -> Goal:
        """Return the image of a step as a goal.

        Raises:
            InvalidInputError: There is no such step.
        """
        self._check(step)
        return Goal(image=self.images[step])

    def action(self, step: int, goal_step: int) -> npt.NDArray[np.float64]:
        """Return the action that leads from one step's state to another's, shape (7,).

        Raises:
            InvalidInputError: There is no such step, or a state is not finite.
        """
        states = []
        for index in (step, goal_step):
            self._check(index)
            states.append(check_state(self.states[index], f'state of step {index}'))
        return state_difference(*states)

    def _check(self, step: int) -> None:
        if not 0 <= step < len(self):
            raise InvalidInputError(
                f'the recording has the steps 0 to {len(self) - 1}; there is no step {step}.'
            )


def load_recording(path: Path, episode: int = 0) -> Recording:
    """Read one trajectory of a dataset, or of an .npz file.

    Two layouts of .npz files are understood, each with or without the first axis:
    ``observations`` (episodes, steps, height, width, 3) and ``states`` (episodes, steps, 7), as
    in the official ``franka_example_traj.npz``; and the same with ``images``.

    Args:
        path: The file, or the directory of the dataset.
        episode: Which trajectory, where there are several.

    Raises:
        InvalidInputError: It cannot be read as a recording, or has no such episode.
    """
    if path.is_dir():
        return _load_from_dataset(path, episode)
    images, states = _read_arrays(path)
    if images.ndim == 4 and states.ndim == 2:
        images, states = images[None], states[None]
    if images.ndim != 5 or states.ndim != 3 or len(images) != len(states):
        raise InvalidInputError(
            f'{path}: images of shape (episodes, steps, height, width, 3) and states of shape '
            f'(episodes, steps, {STATE_DIM}) are needed, got {images.shape} and {states.shape}.'
        )
    if not 0 <= episode < len(images):
        raise InvalidInputError(
            f'{path} has the episodes 0 to {len(images) - 1}; there is no episode {episode}.'
        )
    try:
        return Recording(images=images[episode], states=states[episode].astype(np.float64))
    except ValueError as error:
        raise InvalidInputError(f'{path}: {error}') from error


def _load_from_dataset(path: Path, episode: int) -> Recording:
    from vjepa_planner.data.readers import open_source

    source = open_source(path, kind='lerobot')
    if not 0 <= episode < len(source):
        raise InvalidInputError(
            f'{path} has the episodes 0 to {len(source) - 1}; there is no episode {episode}.'
        )
    (recorded,) = source.read(episode)
    return Recording(images=recorded.images, states=recorded.states.astype(np.float64))


def _read_arrays(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.generic]]:
    if not path.is_file():
        raise InvalidInputError(f'no recording at {path}.')
    if not zipfile.is_zipfile(path):
        raise InvalidInputError(f'{path} is not an .npz file.')
    try:
        with np.load(path) as file:
            keys = [key for key in _IMAGE_KEYS if key in file.files]
            if not keys or _STATE_KEY not in file.files:
                raise InvalidInputError(
                    f'{path} must hold {" or ".join(_IMAGE_KEYS)} and {_STATE_KEY}; it holds '
                    f'{", ".join(file.files) or "nothing"}.'
                )
            return file[keys[0]], file[_STATE_KEY]
    except InvalidInputError:
        raise
    except _UNREADABLE as error:
        raise InvalidInputError(f'{path} cannot be read as a recording ({error}).') from error
