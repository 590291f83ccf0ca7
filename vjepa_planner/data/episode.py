# SPDX-License-Identifier: Apache-2.0
"""One recorded episode of any length: what every reader yields and the dataset writer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import state_difference
from vjepa_planner.types import ACTION_DIM, STATE_DIM

DEFAULT_CAMERA = 'camera'


@dataclass(frozen=True, kw_only=True)
class Episode:
    """Images and the states in which they were taken, a fixed time apart.

    Attributes:
        images: RGB, uint8, shape (frames, height, width, 3).
        states: Measured states, shape (frames, 7); see ``vjepa_planner.types``.
        step_duration: Time from one frame to the next [s].
        camera: Name of the camera's column in a dataset; the same in all its episodes.
        task: What the arm does, in words; may be empty.
        seed: Seed that the episode was made from, if it was.
        facts: Whatever else must be known about where it comes from, such as ``ee_frame``.
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    step_duration: float
    camera: str = DEFAULT_CAMERA
    task: str = ''
    seed: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        images, states = self.images, self.states
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise InvalidInputError(
                'an episode needs uint8 RGB images of shape (frames, height, width, 3), got '
                f'{images.dtype} of shape {images.shape}.'
            )
        if len(images) == 0 or states.shape != (len(images), STATE_DIM):
            raise InvalidInputError(
                f'an episode needs at least one frame and states of shape (frames, {STATE_DIM}), '
                f'got images {images.shape} and states {states.shape}.'
            )
        if not 0 < self.step_duration < np.inf:
            raise InvalidInputError(
                f'step_duration must be positive and finite, got {self.step_duration}.'
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.images)

    def actions(self) -> npt.NDArray[np.float32]:
        """Return the action from each frame to the next, shape (frames, 7); the last is zero."""
        actions = np.zeros((len(self), ACTION_DIM), dtype=np.float32)
        actions[:-1] = state_difference(self.states[:-1], self.states[1:])
        return actions

    def with_facts(self, **facts: str) -> Episode:
        """Return the same episode with more facts."""
        return replace(self, facts={**self.facts, **facts})
