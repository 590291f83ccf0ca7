# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of the arm of :mod:`vjepa_planner.robots.fr3`, in numpy.

The geometry is that of the Panda, too. Rotation vectors and angular velocities are about the axes
of the base.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import UnknownNameError
from vjepa_planner.robots import fr3

Float64Array = npt.NDArray[np.float64]

TOOL_FRAMES: dict[str, tuple[float, float]] = {
    'link8': (fr3.FLANGE_OFFSET_Z, 0.0),
    'hand': (fr3.FLANGE_OFFSET_Z, fr3.HAND_YAW),
    'hand_tcp': (fr3.FLANGE_OFFSET_Z + fr3.TCP_OFFSET_Z, fr3.HAND_YAW),
}
"""Place along the axis of joint 7 [m] and turn about it [rad] of the frames of a Franka Hand."""

_DAMPING = 0.01
_MAX_ERROR = 0.1  # [m, rad] of an iteration: the linearisation holds no further


@dataclass(frozen=True)
class Posture:
    """Joint positions and what follows from them.

    Attributes:
        joints: Shape (7,) [rad].
        position: Of the tool frame in the base frame, shape (3,) [m].
        rotation: Its orientation, shape (3, 3).
        jacobian: From joint velocities to linear and angular velocity, shape (6, 7).
    """

    joints: Float64Array
    position: Float64Array
    rotation: Float64Array
    jacobian: Float64Array

    def error(self, position: Float64Array, quaternion_xyzw: Float64Array) -> Float64Array:
        """Return translation [m] and rotation vector [rad] that lead to a pose, shape (6,)."""
        turn = geometry.quaternion_xyzw_to_matrix(quaternion_xyzw) @ self.rotation.T
        return np.concatenate([position - self.position, _rotation_vector(turn)])

    def joint_velocities(self, velocity: Float64Array) -> Float64Array:
        """Return the slowest joint velocities (7,) [rad/s] that give a velocity (6,)."""
        return _damped_inverse(self.jacobian) @ velocity

    def condition_number(self) -> float:
        """Return how much harder the hardest direction of motion is than the easiest.

        Metres count like radians, as in MoveIt Servo, so that its thresholds can be compared.
        """
        values = np.linalg.svd(self.jacobian, compute_uv=False)
        return float(values[0] / max(values[-1], 1e-12))


class ArmKinematics:
    """Where the joints bring the tool, and which joints bring it somewhere.

    Attributes:
        preferred: Posture that the redundant seventh degree of freedom is drawn to, (7,) [rad].
    """

    def __init__(self, tool_frame: str = fr3.TCP_FRAME) -> None:
        """Choose the frame whose poses are meant.

        Args:
            tool_frame: A name that ends in one of :data:`TOOL_FRAMES`, after a prefix such as
                ``fr3_`` or ``panda_``.

        Raises:
            UnknownNameError: It ends in none of them.
        """
        ending = tool_frame.partition('_')[2]
        if ending not in TOOL_FRAMES:
            raise UnknownNameError('frame of the hand:', ending or tool_frame, tuple(TOOL_FRAMES))
        offset, yaw = TOOL_FRAMES[ending]
        self.preferred = np.array(fr3.HOME_JOINT_POSITIONS)
        self._tool = _transform((0.0, 0.0, offset), geometry.euler_to_matrix((0.0, 0.0, yaw)))
        self._origins = [
            _transform(joint.origin, geometry.euler_to_matrix((joint.roll, 0.0, 0.0)))
            for joint in fr3.JOINTS
        ]

    def posture(self, joints: Float64Array) -> Posture:
        """Return what follows from joint positions, shape (7,) [rad]."""
        frame = np.eye(4)
        axes, places = np.empty((7, 3)), np.empty((7, 3))
        for index, (origin, angle) in enumerate(zip(self._origins, joints, strict=True)):
            frame = frame @ origin
            axes[index], places[index] = frame[:3, 2], frame[:3, 3]
            frame = frame @ _turn(angle)
        frame = frame @ self._tool
        jacobian = np.vstack([np.cross(axes, frame[:3, 3] - places).T, axes.T])
        return Posture(np.array(joints, np.float64), frame[:3, 3], frame[:3, :3], jacobian)

    def solve(
        self,
        start: Float64Array,
        position: Float64Array,
        quaternion_xyzw: Float64Array,
        iterations: int = 4,
        pull: float = 0.05,
    ) -> Posture:
        r"""Return the posture after some iterations from ``start`` towards a pose.

        One iteration is ``dq = J^T (J J^T + \lambda^2 I)^-1 e + (I - J^+ J) k (q_p - q)``
        (Nakamura and Hanafusa 1986): the pose first, and what freedom is left pulls the elbow to
        the preferred posture. Near a singularity it gets less far, not wild. Limits of the joints
        are not looked at, and the result need not have reached the pose.

        Args:
            start: Joint positions, shape (7,) [rad].
            position: Wanted position of the tool in the base frame, shape (3,) [m].
            quaternion_xyzw: Wanted orientation, shape (4,).
            iterations: How many; each is about 0.4 ms.
            pull: Share of the way to the preferred posture, per iteration.
        """
        posture = self.posture(start)
        for _ in range(iterations):
            error = posture.error(position, quaternion_xyzw)
            error *= min(1.0, _MAX_ERROR / max(1e-12, float(np.abs(error).max())))
            bend = pull * (self.preferred - posture.joints)
            inverse = _damped_inverse(posture.jacobian)
            change = inverse @ (error - posture.jacobian @ bend) + bend
            posture = self.posture(posture.joints + change)
        return posture


def _damped_inverse(jacobian: Float64Array) -> Float64Array:
    square = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
    return np.asarray(np.linalg.solve(square, jacobian).T, np.float64)


def _transform(origin: tuple[float, float, float], rotation: Float64Array) -> Float64Array:
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, origin
    return result


def _turn(angle: float) -> Float64Array:
    """Return the transform that turns about z by an angle [rad]."""
    cosine, sine = math.cos(angle), math.sin(angle)
    result = np.eye(4)
    result[:2, :2] = (cosine, -sine), (sine, cosine)
    return result


def _rotation_vector(matrix: Float64Array) -> Float64Array:
    """Return axis times angle, shape (3,) [rad], of a rotation matrix."""
    x, y, z, w = geometry.matrix_to_quaternion_xyzw(matrix)
    axis = np.array([x, y, z])
    sine = float(np.linalg.norm(axis))
    return axis * (2.0 if sine < 1e-9 else 2.0 * math.atan2(sine, w) / sine)
