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
        gripper_commands: Change of closedness that was asked for at each frame, shape (frames,);
            the last is of no effect. None where only measurements are known. A command says more
            than what was measured: fingers stop at what they hold.
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    step_duration: float
    camera: str = DEFAULT_CAMERA
    task: str = ''
    seed: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    gripper_commands: npt.NDArray[np.float32] | None = None

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
        if self.gripper_commands is not None and self.gripper_commands.shape != (len(images),):
            raise InvalidInputError(
                f'an episode of {len(images)} frames needs as many gripper commands, got shape '
                f'{self.gripper_commands.shape}.'
            )
        if not 0 < self.step_duration < np.inf:
            raise InvalidInputError(
                f'step_duration must be positive and finite, got {self.step_duration}.'
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.images)

    def actions(self) -> npt.NDArray[np.float32]:
        """Return the action from each frame to the next, shape (frames, 7); the last is zero.

        The pose is what was measured, as in V-JEPA 2-AC, and the gripper what was asked for,
        where that is known.
        """
        actions = np.zeros((len(self), ACTION_DIM), dtype=np.float32)
        actions[:-1] = state_difference(self.states[:-1], self.states[1:])
        if self.gripper_commands is not None:
            actions[:-1, 6] = self.gripper_commands[:-1]
        return actions

    def with_facts(self, **facts: str) -> Episode:
        """Return the same episode with more facts."""
        return replace(self, facts={**self.facts, **facts})
