# SPDX-License-Identifier: Apache-2.0
"""End-effector frames of an arm with the Franka Hand, and states in one of them from another.

The model's frame belongs to its weights, the measured one to the robot: DROID's Cartesian
positions, and so V-JEPA 2-AC, are of the flange ``link8``; ROS measures ``hand_tcp`` more often,
which is 0.1034 m further along z and turned by -45 degrees about it (``franka_description``).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3

Float64Array = npt.NDArray[np.float64]

# Place along the flange's z axis [m] and turn about it [rad], by the end of the frame's name.
_FRAMES = {
    'link8': (0.0, 0.0),
    'hand': (0.0, fr3.HAND_YAW),
    'hand_tcp': (fr3.TCP_OFFSET_Z, fr3.HAND_YAW),
}


class FrameChange:
    """From states of the measured frame to those of the model's, and for actions back."""

    def __init__(self, measured: str, model: str) -> None:
        """Look up how the two frames are fixed to each other.

        Args:
            measured: Frame whose pose the robot measures, like ``fr3_hand_tcp``.
            model: Frame whose motion the model predicts, like ``panda_link8``.

        Raises:
            InvalidInputError: They differ, and one of them is none of the Franka Hand.
        """
        self.is_identity = measured == model
        if self.is_identity:
            return
        (z_measured, yaw_measured), (z_model, yaw_model) = (
            _frame(measured, measured, model),
            _frame(model, measured, model),
        )
        self._offset = np.array([0.0, 0.0, z_model - z_measured])
        self._turn = geometry.euler_to_matrix([0.0, 0.0, yaw_model - yaw_measured])
        self.is_identity = bool(self._offset[2] == 0.0 and yaw_model == yaw_measured)

    def model_state(self, state: Float64Array) -> Float64Array:
        """Return the state (7,) of the model's frame while the measured one has ``state``."""
        if self.is_identity:
            return state
        rotation = geometry.euler_to_matrix(state[3:6])
        return _state(state[:3] + rotation @ self._offset, rotation @ self._turn, state[6])

    def measured_state(self, state: Float64Array) -> Float64Array:
        """Return the state (7,) of the measured frame while the model's one has ``state``."""
        if self.is_identity:
            return state
        rotation = geometry.euler_to_matrix(state[3:6]) @ self._turn.T
        return _state(state[:3] - rotation @ self._offset, rotation, state[6])

    def measured_actions(self, state: Float64Array, actions: Float64Array) -> Float64Array:
        """Return what actions of the model's frame are for the measured one.

        The rotations are the same, but a turn of the hand displaces its frames differently.

        Args:
            state: Measured state that the actions start from, shape (7,).
            actions: Of the model's frame, shape (T, 7).

        Returns:
            Shape (T, 7).
        """
        if self.is_identity:
            return actions
        result = np.array(actions, dtype=np.float64)
        moved = self.model_state(state)
        for action in result:
            before = self.measured_state(moved)
            moved = geometry.compose_states(moved, action)
            action[:6] = geometry.state_difference(before, self.measured_state(moved))[:6]
        return result


def _frame(name: str, measured: str, model: str) -> tuple[float, float]:
    ending = name.rpartition('_hand_tcp')[1] or f'_{name.rpartition("_")[2]}'
    if ending[1:] not in _FRAMES:
        raise InvalidInputError(
            f'the model predicts the motion of {model!r}, but current_pose measures {measured!r}, '
            f'and how {name!r} is fixed to the hand is not known. Measure the pose of {model!r} '
            'and set the parameter ee_frame to it. Known are frames that end in '
            f'{", ".join(_FRAMES)}: {fr3.TCP_FRAME} is {fr3.TCP_OFFSET_Z} m below the flange and '
            f'turned by {math.degrees(fr3.HAND_YAW):.0f} degrees.'
        )
    return _FRAMES[ending[1:]]


def _state(position: Float64Array, rotation: Float64Array, closedness: float) -> Float64Array:
    return np.concatenate([position, geometry.matrix_to_euler(rotation), [closedness]])
