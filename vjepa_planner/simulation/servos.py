# SPDX-License-Identifier: Apache-2.0
"""From targets to the set-points of joint servos and gripper, as the arm's own controller does."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation.inverse_kinematics import InverseKinematics

CONTROL_PERIOD = 0.02
"""Time between two set-points of the joint servos [s]."""

_ARM = slice(0, 7)  # of positions and actuators
_GRIPPER = 7
GRIPPER_SPEED = 0.1
"""Of the gripper's width until another one is asked for [m/s]."""


class Servos:
    """Keeps the targets, and moves the set-points towards them at every control period."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Write set-points into ``data``; the gripper's force limit goes into ``model``."""
        self._model, self._data = model, data
        self._inverse_kinematics = InverseKinematics(model)
        self._lag = -model.actuator_biasprm[_ARM, 2] / model.actuator_gainprm[_ARM, 0]
        self._default_force = model.actuator_forcerange[_GRIPPER].copy()
        self._range = np.array([[joint.lower, joint.upper] for joint in fr3.JOINTS]).T
        self._reach = CONTROL_PERIOD * np.array([joint.max_velocity for joint in fr3.JOINTS])

    def place(self, position: npt.ArrayLike, quaternion_xyzw: npt.ArrayLike) -> None:
        """Put the joints where the tool centre point has a pose at once, and hold it there.

        Raises:
            InvalidInputError: As for ``set_target_pose``.
        """
        self.set_target_pose(position, quaternion_xyzw)
        home = np.array(fr3.HOME_JOINT_POSITIONS)
        self._joints = self._inverse_kinematics.solve(home, self._position, self._wxyz)
        self._data.qpos[_ARM] = self._data.ctrl[_ARM] = self._joints

    def hold_gripper(self) -> None:
        """Make the gripper's present opening its target, with its usual speed and force."""
        self._half_width = self._half_target = float(self._data.qpos[_GRIPPER])
        self._speed, self._data.ctrl[_GRIPPER] = GRIPPER_SPEED, self._half_width
        self._model.actuator_forcerange[_GRIPPER] = self._default_force

    def set_target_pose(self, position: npt.ArrayLike, quaternion_xyzw: npt.ArrayLike) -> None:
        """Set where the tool centre point shall go, see ``FrankaSimulation.set_target_pose``."""
        position, quaternion = np.array(position, float), np.array(quaternion_xyzw, float)
        if position.shape != (3,) or quaternion.shape != (4,):
            raise InvalidInputError(
                'target pose must be a position of shape (3,) and a quaternion of shape (4,), '
                f'got {position.shape} and {quaternion.shape}.'
            )
        norm = np.linalg.norm(quaternion)
        if not (np.isfinite(position).all() and np.isfinite(norm) and norm > 1e-6):
            raise InvalidInputError(
                'target pose must be finite with a quaternion of non-zero length, got '
                f'{position.tolist()}, {quaternion.tolist()}; the old target stays.'
            )
        self._position, self._wxyz = position, (quaternion / norm)[[3, 0, 1, 2]]
        self._target_joints: npt.NDArray[np.float64] | None = None

    def set_target_joints(self, joints: npt.ArrayLike) -> None:
        """Set where the joints shall go, see ``FrankaSimulation.set_target_joints``."""
        target = np.array(joints, float)
        if target.shape != (7,) or not np.isfinite(target).all():
            raise InvalidInputError(
                f'target joints must be 7 finite numbers, got {target.tolist()}; the old target '
                'stays.'
            )
        self._target_joints = np.clip(target, *self._range)

    def set_gripper_target(self, width: float, speed: float, force: float) -> None:
        """Set how far to open, see ``FrankaSimulation.set_gripper_target``."""
        if not (np.isfinite([width, speed, force]).all() and speed > 0 and force > 0):
            raise InvalidInputError(
                'gripper needs a finite width and positive speed and force, got '
                f'{width}, {speed}, {force}.'
            )
        self._half_target = float(np.clip(width, 0.0, fr3.MAX_GRIPPER_WIDTH)) / 2
        self._speed = speed
        self._model.actuator_forcerange[_GRIPPER] = [-force, force]

    def tick(self) -> None:
        """Write the set-points of the next control period."""
        previous = self._joints
        if self._target_joints is None:
            self._joints = self._inverse_kinematics.step(
                previous, self._position, self._wxyz, CONTROL_PERIOD
            )
        else:
            missing = self._target_joints - previous
            self._joints = previous + np.clip(missing, -self._reach, self._reach)
        # A position servo lags behind by damping / stiffness times its speed: lead it by that.
        velocity = (self._joints - previous) / CONTROL_PERIOD
        self._data.ctrl[_ARM] = self._joints + self._lag * velocity
        reach = self._speed / 2 * CONTROL_PERIOD
        opening = self._half_target - self._half_width
        self._half_width += float(np.clip(opening, -reach, reach))
        self._data.ctrl[_GRIPPER] = self._half_width
