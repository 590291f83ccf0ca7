# SPDX-License-Identifier: Apache-2.0
"""How far and how fast the arm may go: limits on one action, and the way to its target.

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

# A minimum-jerk motion of length 1 in time 1 has these extremes: 15 / 8 and 10 / sqrt(3).
_PEAK_SPEED = 1.875
_PEAK_ACCELERATION = 5.7735


@dataclass(frozen=True)
class Pose:
    """Where the end effector is.

    Attributes:
        position: In the base frame, shape (3,) [m].
        quaternion: Orientation xyzw, shape (4,), of length 1.
    """

    position: Float64Array
    quaternion: Float64Array

    def is_finite(self) -> bool:
        """Return whether it contains neither NaN nor infinity."""
        return bool(np.isfinite(self.position).all() and np.isfinite(self.quaternion).all())

    def distance(self, other: Pose) -> float:
        """Return the distance of the positions [m]."""
        return float(np.linalg.norm(self.position - other.position))

    def angle(self, other: Pose) -> float:
        """Return the angle between the orientations [rad]."""
        return 2.0 * math.acos(min(1.0, abs(float(self.quaternion @ other.quaternion))))


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
    max_step: float = setting(
        0.15,
        'Longer displacements of one action are shortened to this [m]',
        minimum=0.001,
        maximum=1.0,
    )
    max_step_rotation: float = setting(
        0.5,
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


class Trajectory:
    """A straight way from one pose to another, minimum-jerk in time, within the speed limits."""

    def __init__(self, start: Pose, target: Pose, limits: MotionLimits) -> None:
        """Choose the duration [s]: the shortest that keeps every limit."""
        self.start = start
        self.target = target
        length = start.distance(target)
        self.duration = max(
            _PEAK_SPEED * length / limits.max_speed,
            math.sqrt(_PEAK_ACCELERATION * length / limits.max_acceleration),
            _PEAK_SPEED * start.angle(target) / limits.max_rotation_speed,
        )

    def at(self, elapsed: float) -> Pose:
        """Return the pose after ``elapsed`` seconds: the start before 0, the target at the end."""
        if elapsed >= self.duration:
            return self.target
        time = max(0.0, elapsed) / self.duration
        share = time**3 * (10.0 - 15.0 * time + 6.0 * time**2)
        return Pose(
            self.start.position + share * (self.target.position - self.start.position),
            _slerp(self.start.quaternion, self.target.quaternion, share),
        )


def _slerp(start: Float64Array, end: Float64Array, share: float) -> Float64Array:
    """Return the orientation at ``share`` 0..1 of the shortest turn from one to the other."""
    cosine = float(start @ end)
    end, cosine = (-end, -cosine) if cosine < 0.0 else (end, cosine)
    angle = math.acos(min(1.0, cosine))
    if angle < 1e-6:  # the weights below would divide zero by zero
        return end
    weights = math.sin((1.0 - share) * angle), math.sin(share * angle)
    mixed = weights[0] * start + weights[1] * end
    return mixed / np.linalg.norm(mixed)


def _rotation_angle(euler: Float64Array) -> float:
    quaternion = geometry.euler_to_quaternion_xyzw(euler)
    return 2.0 * math.acos(min(1.0, abs(float(quaternion[3]))))


def _scaled_rotation(euler: Float64Array, factor: float) -> Float64Array:
    """Return the rotation about the same axis by ``factor`` (0..1) times the angle."""
    identity = np.array([0.0, 0.0, 0.0, 1.0])
    scaled = _slerp(identity, geometry.euler_to_quaternion_xyzw(euler), factor)
    return geometry.quaternion_xyzw_to_euler(scaled)
