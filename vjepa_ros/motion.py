# SPDX-License-Identifier: Apache-2.0
"""How far and how fast the arm may go: poses, the limits of a motion, and where an action leads.

No ROS here, so that every number that reaches the arm can be tested by itself. Positions are in
the robot's base frame [m], orientations are quaternions xyzw.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.settings import setting

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Where the end effector is.

    Attributes:
        position: In the base frame, shape (3,) [m].
        quaternion: Orientation xyzw, shape (4,), of length 1.
    """

    position: Float64Array
    quaternion: Float64Array

    def is_valid(self) -> bool:
        """Return whether it contains neither NaN nor infinity, and the quaternion has length 1."""
        length = float(np.linalg.norm(self.quaternion))
        return bool(np.isfinite(self.position).all()) and abs(length - 1.0) < 1e-3

    def distance(self, other: Pose) -> float:
        """Return the distance of the positions [m]."""
        return float(np.linalg.norm(self.position - other.position))

    def angle(self, other: Pose) -> float:
        """Return the angle between the orientations [rad]."""
        return float(np.linalg.norm(self.turn_to(other)))

    def turn_to(self, other: Pose) -> Float64Array:
        """Return the rotation that leads to the other orientation: axis times angle, (3,) [rad].

        About the axes of the base: it is the left factor of the two.
        """
        inverse = self.quaternion * np.array([-1.0, -1.0, -1.0, 1.0])
        return rotation_vector(quaternion_product(other.quaternion, inverse))


@dataclass(frozen=True)
class Velocity:
    """How fast the end effector moves.

    Attributes:
        linear: In the base frame, shape (3,) [m/s].
        angular: About the axes of the base, shape (3,) [rad/s].
    """

    linear: Float64Array
    angular: Float64Array

    @classmethod
    def zero(cls) -> Velocity:
        """Return that of an end effector at rest."""
        return cls(np.zeros(3), np.zeros(3))

    def is_valid(self) -> bool:
        """Return whether it contains neither NaN nor infinity."""
        return bool(np.isfinite([*self.linear, *self.angular]).all())


@dataclass(frozen=True, kw_only=True)
class MotionLimits:
    """What no motion may exceed. The defaults of the speeds are modest for an arm near people."""

    max_speed: float = setting(
        0.25, 'Largest speed of the end effector [m/s]', minimum=0.001, maximum=1.7
    )
    max_acceleration: float = setting(
        1.0, 'Largest acceleration of the end effector [m/s^2]', minimum=0.01, maximum=9.0
    )
    max_rotation_speed: float = setting(
        0.6, 'Largest rotation speed of the end effector [rad/s]', minimum=0.001, maximum=2.5
    )
    max_rotation_acceleration: float = setting(
        2.0,
        'Largest rotational acceleration of the end effector [rad/s^2]',
        minimum=0.01,
        maximum=17.0,
    )
    max_step: float = setting(
        0.3,
        'Longer displacements of one action are shortened to this; shorter ones are made as '
        'slowly as the limits need [m]',
        minimum=0.001,
        maximum=1.0,
    )
    max_step_rotation: float = setting(
        1.5,
        'Larger rotations of one action are reduced to this [rad]',
        minimum=0.001,
        maximum=3.1,
    )
    refused_step: float = setting(
        0.3,
        'Plans with a longer displacement in one action are refused [m]',
        minimum=0.001,
        maximum=2.0,
    )
    refused_step_rotation: float = setting(
        1.5,
        'Plans with a larger rotation in one action are refused [rad]',
        minimum=0.001,
        maximum=3.1,
    )
    workspace_min: tuple[float, ...] = setting(
        (0.28, -0.45, 0.02), 'Lowest x y z of the end effector in the base frame [m]'
    )
    workspace_max: tuple[float, ...] = setting(
        (0.75, 0.45, 0.6), 'Highest x y z of the end effector in the base frame [m]'
    )
    workspace_tolerance: float = setting(
        0.15,
        'Targets this far outside the workspace are moved onto its border, farther ones '
        'are refused [m]',
        minimum=0.0,
        maximum=1.0,
    )

    def allows(self, other: MotionLimits) -> bool:
        """Return whether whatever keeps to the limits of ``other`` keeps to these, too."""
        inside = np.less_equal(self.workspace_min, other.workspace_min).all()
        inside &= np.greater_equal(self.workspace_max, other.workspace_max).all()
        return bool(inside) and (
            self.max_speed >= other.max_speed
            and self.max_acceleration >= other.max_acceleration
            and self.max_rotation_speed >= other.max_rotation_speed
            and self.max_rotation_acceleration >= other.max_rotation_acceleration
        )

    def __post_init__(self) -> None:
        """Check the workspace.

        Raises:
            InvalidInputError: It is not two corners of a box.
        """
        low, high = np.array(self.workspace_min), np.array(self.workspace_max)
        if low.shape != (3,) or high.shape != (3,) or not (low < high).all():
            raise InvalidInputError(
                'workspace_min and workspace_max must be three finite numbers each, the first '
                f'below the second, got {list(self.workspace_min)} and {list(self.workspace_max)}.'
            )


def rotation_vector(quaternion: Float64Array) -> Float64Array:
    """Return axis times angle (0..pi), shape (3,) [rad], of a unit quaternion xyzw (4,)."""
    vector, cosine = quaternion[:3], float(quaternion[3])
    sine = float(np.linalg.norm(vector))
    if sine < 1e-12:  # no axis to speak of
        return np.zeros(3)
    return vector * (2.0 * math.atan2(math.copysign(sine, cosine), abs(cosine)) / sine)


def rotation_quaternion(vector: Float64Array) -> Float64Array:
    """Return the unit quaternion xyzw (4,) of axis times angle, shape (3,) [rad]."""
    angle = float(np.linalg.norm(vector))
    return np.append(vector * (0.5 * np.sinc(angle / math.tau)), math.cos(angle / 2.0))


def quaternion_product(left: Float64Array, right: Float64Array) -> Float64Array:
    """Return the unit quaternion xyzw (4,) of turning by ``right`` and then by ``left``."""
    a, b = left[3], right[3]
    vector = a * right[:3] + b * left[:3] + np.cross(left[:3], right[:3])
    product = np.append(vector, a * b - left[:3] @ right[:3])
    return product / np.linalg.norm(product)


def limited_target(
    state: Float64Array, action: Float64Array, limits: MotionLimits
) -> tuple[Float64Array, str]:
    """Return where an action leads within the limits.

    Args:
        state: Measured state, shape (7,).
        action: Shape (7,).
        limits: What to keep to.

    Returns:
        The target state, shape (7,), and what was cut, in words; empty if nothing was.

    Raises:
        InvalidInputError: The action is not finite, or beyond what a plan may ask for.
    """
    action = np.array(action, dtype=np.float64)
    if not np.isfinite(action).all():
        raise InvalidInputError(f'action contains NaN or infinity: {action.tolist()}.')
    cuts = []
    length = float(np.linalg.norm(action[:3]))
    angle = _rotation_angle(action[3:6])
    if length > limits.refused_step or angle > limits.refused_step_rotation:
        raise InvalidInputError(
            f'action of {length:.3f} m and {angle:.2f} rad is too large a jump, at most '
            f'{limits.refused_step:g} m and {limits.refused_step_rotation:g} rad are accepted.'
        )
    if length > limits.max_step:
        action[:3] *= limits.max_step / length
        cuts.append(f'displacement shortened from {length:.3f} m to {limits.max_step:g} m')
    if angle > limits.max_step_rotation:
        action[3:6] = _scaled_rotation(action[3:6], limits.max_step_rotation / angle)
        cuts.append(f'rotation reduced from {angle:.2f} rad to {limits.max_step_rotation:g} rad')
    target = geometry.compose_states(state, action)
    inside = np.clip(target[:3], limits.workspace_min, limits.workspace_max)
    outside = float(np.linalg.norm(target[:3] - inside))
    if outside > limits.workspace_tolerance:
        raise InvalidInputError(
            f'target {np.round(target[:3], 3).tolist()} m lies {outside:.3f} m outside the '
            f'workspace, at most {limits.workspace_tolerance:g} m are accepted.'
        )
    if outside > 0.0:
        cuts.append(f'target moved {outside:.3f} m onto the border of the workspace')
    target[:3] = inside
    return target, '; '.join(cuts)


def _rotation_angle(euler: Float64Array) -> float:
    quaternion = geometry.euler_to_quaternion_xyzw(euler)
    return 2.0 * math.acos(min(1.0, abs(float(quaternion[3]))))


def _scaled_rotation(euler: Float64Array, factor: float) -> Float64Array:
    """Return the rotation about the same axis by ``factor`` (0..1) times the angle."""
    vector = rotation_vector(geometry.euler_to_quaternion_xyzw(euler))
    return geometry.quaternion_xyzw_to_euler(rotation_quaternion(factor * vector))
