# SPDX-License-Identifier: Apache-2.0
"""Judges every command to the arm, and knows nothing of the code that made it.

A target is good if it lies in the workspace and is one of two things: where the arm was measured
(a hold, or the begin of a motion), or the next point of a motion within the limits. Speeds and
accelerations are divided differences over the stamps of the targets, which are the times they are
meant for, not over the times at which they came. A commander that gets no processor ticks late and
then goes on where it was: over a late tick a motion is judged by its speed only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

HISTORY = 5.0  # [s] of measured poses: what a commander with frozen measurements may hold at
LATE = 0.05  # [s] between two targets, beyond which the commander had no processor
SAME_PLACE = 0.001  # [m] from where the arm was measured; the monitor may miss a measurement
SAME_ANGLE = 0.02  # [rad] likewise
TOLERANCE = 1.02  # of speeds and accelerations: stamps are those of ticks to the microsecond
FEW = 20  # violations that are kept in words


@dataclass(frozen=True)
class Limits:
    """What no target may exceed, as the commander was told."""

    workspace_min: tuple[float, float, float]
    workspace_max: tuple[float, float, float]
    max_speed: float  # [m/s]
    max_acceleration: float  # [m/s^2]
    max_rotation_speed: float  # [rad/s]
    max_tracking_error: float  # [m]


@dataclass
class _Point:
    stamp: float  # [s]
    position: np.ndarray
    quaternion: np.ndarray


@dataclass
class CommandMonitor:
    """Takes measured poses and targets, and keeps what was wrong.

    Attributes:
        violations: In words, the first few.
        count: Of all violations.
        targets: That were judged.
        motions: That began.
        late: Targets that came after a late tick.
        extremes: Largest speed, acceleration, rotation speed, and distance of a hold from the
            target before.
    """

    limits: Limits
    violations: list[str] = field(default_factory=list)
    count: int = 0
    targets: int = 0
    motions: int = 0
    late: int = 0
    extremes: dict[str, float] = field(default_factory=dict)
    _measured: deque[_Point] = field(default_factory=deque)
    _motion: list[_Point] = field(default_factory=list)  # at most the last three of this motion

    def measure(self, stamp: float, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Take a measured pose, (3,) [m] and xyzw (4,), of this time [s]."""
        self._measured.append(_Point(stamp, position, quaternion))
        while stamp - self._measured[0].stamp > HISTORY:
            self._measured.popleft()

    def command(self, stamp: float, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Judge a target: position (3,) [m] and quaternion xyzw (4,) for this time [s]."""
        self.targets += 1
        point = _Point(stamp, position, quaternion)
        if not (np.isfinite([stamp, *position, *quaternion]).all()):
            self._complain(point, 'it contains NaN or infinity')
            return
        low, high = np.array(self.limits.workspace_min), np.array(self.limits.workspace_max)
        outside = float(np.linalg.norm(position - np.clip(position, low, high)))
        if self._continues(point):
            here = self.distance_to_measured(position) <= SAME_PLACE  # where somebody put the arm
            if outside > 0.0 and not here and not self._returns(position, low, high):
                self._complain(point, f'{outside * 1e3:.1f} mm outside the workspace')
            self._motion = [*self._motion[-2:], point]
        elif self._is_where_the_arm_was(point):
            self._begin(point)
        else:
            self._complain(point, self._objection(point))
            self._motion = [point]

    def distance_to_measured(self, position: np.ndarray) -> float:
        """Return how far a position (3,) is from where the arm was measured lately [m]."""
        path = np.array([measured.position for measured in self._measured])
        if len(path) < 2:
            return float('inf')
        begin, step = path[:-1], np.diff(path, axis=0)
        square = np.maximum((step**2).sum(axis=1), 1e-18)
        share = np.clip(((position - begin) * step).sum(axis=1) / square, 0.0, 1.0)
        return float(np.linalg.norm(begin + share[:, None] * step - position, axis=1).min())

    def _is_where_the_arm_was(self, point: _Point) -> bool:
        turned = (_angle(measured.quaternion, point.quaternion) for measured in self._measured)
        near = self.distance_to_measured(point.position) <= SAME_PLACE
        return near and min(turned) <= SAME_ANGLE

    def _begin(self, point: _Point) -> None:
        self.motions += 1
        if self._motion:
            jump = float(np.linalg.norm(point.position - self._motion[-1].position))
            self._extreme('hold distance [m]', jump)
        self._motion = [point]

    def _returns(self, position: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
        """Return whether a motion that began outside of the workspace leads back into it."""
        before = self._motion[-1].position
        return all(
            lowest <= now <= highest or abs(now - middle) <= abs(then - middle)
            for now, then, lowest, highest, middle in zip(
                position, before, low, high, (low + high) / 2.0, strict=True
            )
        )

    def _continues(self, point: _Point) -> bool:
        """Return whether a target is the next one of the motion, within the limits."""
        return bool(self._motion) and not self._objection(point)

    def _objection(self, point: _Point) -> str:
        """Return why a target is not the next one of the motion; empty if it is."""
        if not self._motion:
            return 'it is not where the arm was measured, and no motion is under way'
        last = self._motion[-1]
        passed = point.stamp - last.stamp
        if passed <= 0.0:
            same = np.array_equal(point.position, last.position)
            return '' if same else 'another target for a time that has one already'
        speed = float(np.linalg.norm(point.position - last.position)) / passed
        turning = _angle(last.quaternion, point.quaternion) / passed
        acceleration, late = self._acceleration(point)
        for name, value, limit in (
            ('speed [m/s]', speed, self.limits.max_speed),
            ('acceleration [m/s^2]', acceleration, self.limits.max_acceleration),
            ('rotation speed [rad/s]', turning, self.limits.max_rotation_speed),
        ):
            if value > limit * TOLERANCE:
                return f'{name} is {value:.3f}, allowed are {limit:g}'
            self._extreme(name, value)
        self.late += late
        return ''

    def _acceleration(self, point: _Point) -> tuple[float, bool]:
        """Return the acceleration up to a target [m/s^2], 0 after a late tick, and if it was."""
        points = [*self._motion, point]
        steps = [(after.stamp - before.stamp) for before, after in pairwise(points)]
        if max(steps[-2:]) > LATE:
            return 0.0, steps[-1] > LATE
        velocities = [
            (after.position - before.position) / step
            for (before, after), step in zip(pairwise(points), steps, strict=True)
            if step > 0.0
        ]
        if len(velocities) < 2:  # from rest, where it began
            return float(np.linalg.norm(velocities[-1])) / steps[-1], False
        change = np.linalg.norm(velocities[-1] - velocities[-2])
        return float(change) / (0.5 * (steps[-1] + steps[-2])), False

    def _extreme(self, name: str, value: float) -> None:
        self.extremes[name] = max(value, self.extremes.get(name, 0.0))

    def _complain(self, point: _Point, reason: str) -> None:
        self.count += 1
        if len(self.violations) < FEW:
            self.violations.append(
                f'target {np.round(point.position, 4).tolist()} of {point.stamp:.3f} s: {reason}'
            )


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """Return the angle between two orientations xyzw [rad]."""
    sine = np.linalg.norm(np.stack([one - other, one + other]), axis=1).min() / 2.0
    return float(4.0 * np.arcsin(min(1.0, sine)))
