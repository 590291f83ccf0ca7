# SPDX-License-Identifier: Apache-2.0
"""Damped-least-squares inverse kinematics of the simulated arm."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.robots import fr3

_DAMPING = 0.05 * np.sqrt(0.1)
_POSTURE_GAIN = 0.05
_LIMIT_MARGIN = 0.02  # [rad] kept from the joint limits


class InverseKinematics:
    r"""Moves joint positions towards a pose of the tool centre point.

    One iteration is ``dq = J^T (J J^T + \lambda^2 I)^-1 e + (I - J^+ J) k (q_home - q)``: the task
    first, and what freedom is left pulls the elbow home.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Keep a private copy of the kinematic state, so that the simulation is not touched."""
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site('tcp').id
        self._jacobian = np.zeros((6, model.nv))
        limits = np.array([[joint.lower, joint.upper] for joint in fr3.JOINTS])
        self._lower, self._upper = limits[:, 0] + _LIMIT_MARGIN, limits[:, 1] - _LIMIT_MARGIN
        self._velocity = np.array([joint.max_velocity for joint in fr3.JOINTS])
        self._home = np.array(fr3.HOME_JOINT_POSITIONS)

    def step(
        self,
        joints: npt.NDArray[np.float64],
        position: npt.NDArray[np.float64],
        quaternion_wxyz: npt.NDArray[np.float64],
        duration: float,
        iterations: int = 2,
    ) -> npt.NDArray[np.float64]:
        """Return joint positions (7,) [rad] nearer to the pose, reachable within ``duration``.

        Args:
            joints: Present joint positions, shape (7,) [rad].
            position: Wanted position of the tool centre point in the base frame, (3,) [m].
            quaternion_wxyz: Wanted orientation, shape (4,).
            duration: Time for the step [s]; bounds it by the joints' velocity limits.
            iterations: Newton-like iterations.
        """
        result = joints.copy()
        for _ in range(iterations):
            error = self._pose_error(result, position, quaternion_wxyz)
            jacobian = self._jacobian[:, :7]
            inverse = np.linalg.inv(jacobian @ jacobian.T + _DAMPING**2 * np.eye(6))
            pseudo_inverse = jacobian.T @ inverse
            posture = _POSTURE_GAIN * (self._home - result)
            change = pseudo_inverse @ (error - jacobian @ posture) + posture
            result = np.clip(result + change, self._lower, self._upper)
        reach = self._velocity * duration
        return np.clip(result, joints - reach, joints + reach)

    def solve(
        self,
        joints: npt.NDArray[np.float64],
        position: npt.NDArray[np.float64],
        quaternion_wxyz: npt.NDArray[np.float64],
        iterations: int = 200,
    ) -> npt.NDArray[np.float64]:
        """Return joint positions (7,) [rad] that reach the pose as well as the arm can."""
        return self.step(joints, position, quaternion_wxyz, np.inf, iterations)

    def _pose_error(
        self,
        joints: npt.NDArray[np.float64],
        position: npt.NDArray[np.float64],
        quaternion_wxyz: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """Return (dx dy dz, rotation vector) to the pose, shape (6,), and fill the Jacobian."""
        data = self._data
        data.qpos[:7] = joints
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_jacSite(self._model, data, self._jacobian[:3], self._jacobian[3:], self._site)
        error = np.empty(6)
        error[:3] = position - data.site_xpos[self._site]
        present, difference = np.empty(4), np.empty(4)
        mujoco.mju_mat2Quat(present, data.site_xmat[self._site])
        mujoco.mju_negQuat(present, present)
        mujoco.mju_mulQuat(difference, quaternion_wxyz, present)
        mujoco.mju_quat2Vel(error[3:], difference, 1.0)
        return error
