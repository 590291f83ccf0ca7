# SPDX-License-Identifier: Apache-2.0
"""The way of the arm to a target, minimum-jerk in time, and to another one without a stop.

A *stroke* is a straight minimum-jerk displacement from rest to rest (Flash and Hogan 1985). A
trajectory to a new target while the arm moves is the sum of strokes: the one under way goes on,
and one from its end to the new target is added to it (Flash and Henis 1991). So position,
velocity and acceleration are continuous whatever the moment. A stroke neither begins nor ends
before the one that it is added to. Its share of the way is therefore never ahead of that one's,
every position is an average of the poses that the strokes lead to, and none leaves the convex
workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from vjepa_planner.geometry import quaternion_xyzw_to_matrix
from vjepa_ros.motion import (
    Float64Array,
    MotionLimits,
    Pose,
    quaternion_product,
    rotation_quaternion,
    Velocity,
)

# A minimum-jerk motion of length 1 in time 1 has these extremes: 15 / 8 and 10 / sqrt(3).
_PEAK_SPEED = 1.875
_PEAK_ACCELERATION = 10.0 / math.sqrt(3.0)

_REDIRECTABLE_EFFORT = 0.8  # share of the limits that a stroke takes if another may be added
_SAMPLES = 65  # of a sum of strokes, to find its extremes, which then are found to ...
_MARGIN = 0.99  # ... this share of the limits
_DELAYS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # of what is left of the strokes before
_STRETCHES = (1.0, 1.15, 1.3, 1.5, 1.8, 2.2, 3.0)  # of the shortest duration


@dataclass(frozen=True)
class _Stroke:
    """One displacement from rest to rest.

    Attributes:
        begin: When it begins [s].
        duration: How long it takes [s].
        translation: Shape (3,) [m].
        rotation: Axis times angle about the axes of the base, shape (3,) [rad].
    """

    begin: float
    duration: float
    translation: Float64Array
    rotation: Float64Array

    @property
    def end(self) -> float:
        """When it ends [s]."""
        return self.begin + self.duration

    def share(self, time: float) -> float:
        """Return how much of it is done at a time, 0..1."""
        if time >= self.end:
            return 1.0
        if time <= self.begin:
            return 0.0
        tau = (time - self.begin) / self.duration
        return tau**3 * (10.0 - 15.0 * tau + 6.0 * tau**2)

    def rates(self, times: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return first and second derivative of the share at times, each of shape (n,)."""
        if self.duration == 0.0:
            return np.zeros_like(times), np.zeros_like(times)
        tau = np.clip((times - self.begin) / self.duration, 0.0, 1.0)
        first = 30.0 * tau**2 * (1.0 - tau) ** 2
        second = 60.0 * tau * (1.0 - tau) * (1.0 - 2.0 * tau)
        return first / self.duration, second / self.duration**2


class Trajectory:
    """A way from one pose to another within the limits, that can be redirected on the way.

    Attributes:
        target: Where it ends.
    """

    def __init__(
        self, start: Pose, target: Pose, limits: MotionLimits, *, redirectable: bool = False
    ) -> None:
        """Go straight, in the shortest time that keeps every limit.

        Args:
            start: Where it begins, at rest.
            target: Where it ends, at rest.
            limits: Of speeds and accelerations.
            redirectable: Leave some of the limits to a stroke that is added on the way; without,
                a new target mostly waits until the old one is reached.
        """
        self.target = target
        self._start = start
        self._effort = _REDIRECTABLE_EFFORT if redirectable else 1.0
        self._strokes = [_stroke(0.0, start, target, limits, self._effort)]

    @property
    def duration(self) -> float:
        """When it ends [s]."""
        return self._strokes[-1].end

    def at(self, elapsed: float) -> Pose:
        """Return the pose after ``elapsed`` seconds: the start before 0, the target at the end."""
        if elapsed <= 0.0:
            return self._start
        if elapsed >= self.duration:
            return self.target
        return _moved(self._start, self._strokes, elapsed)

    def redirected(self, target: Pose, elapsed: float, limits: MotionLimits) -> Trajectory:
        """Return a way that goes on as this one does at ``elapsed`` [s], but ends at ``target``.

        Strokes under way go on. Those that have not begun are dropped: however fast new targets
        come, the arm is never behind by more than what it is doing. It begins to differ as soon as
        the limits allow, at the latest when what is under way has ended.
        """
        done = [stroke for stroke in self._strokes if stroke.end <= elapsed]
        result = copy(self)
        result.target, result._start = target, _moved(self._start, done, elapsed)
        kept = [stroke for stroke in self._strokes[len(done) :] if stroke.begin < elapsed]
        shortest = _stroke(
            elapsed, _moved(result._start, kept, math.inf), target, limits, self._effort
        )
        end = kept[-1].end if kept else elapsed
        stroke = next(
            (
                one
                for one in _candidates(shortest, kept)
                if _keeps_limits([*kept, one], elapsed, limits)
            ),
            _delayed(shortest, end),
        )
        result._strokes = [*kept, stroke]
        return result

    def velocity_at(self, elapsed: float) -> Velocity:
        """Return the velocity after ``elapsed`` seconds: zero at both ends."""
        linear, angular = np.zeros(3), np.zeros(3)
        if elapsed >= self.duration:
            return Velocity(linear, angular)
        for stroke in self._strokes:
            rate = float(stroke.rates(np.array([elapsed]))[0][0])
            linear = linear + rate * stroke.translation
            # Later strokes turn the axes of those before them as well.
            turned = rotation_quaternion(stroke.share(elapsed) * stroke.rotation)
            angular = quaternion_xyzw_to_matrix(turned) @ angular + rate * stroke.rotation
        return Velocity(linear, angular)


def _stroke(
    begin: float, start: Pose, target: Pose, limits: MotionLimits, effort: float
) -> _Stroke:
    """Return the shortest stroke from one pose to another within this share of the limits."""
    translation, rotation = target.position - start.position, start.turn_to(target)
    length, angle = float(np.linalg.norm(translation)), float(np.linalg.norm(rotation))
    speed_time = _PEAK_SPEED * max(length / limits.max_speed, angle / limits.max_rotation_speed)
    acceleration_time = _PEAK_ACCELERATION * max(
        length / limits.max_acceleration, angle / limits.max_rotation_acceleration
    )
    duration = max(speed_time / effort, math.sqrt(acceleration_time / effort))
    return _Stroke(begin, duration, translation, rotation)


def _delayed(stroke: _Stroke, begin: float, stretch: float = 1.0) -> _Stroke:
    return _Stroke(begin, stretch * stroke.duration, stroke.translation, stroke.rotation)


def _candidates(shortest: _Stroke, before: list[_Stroke]) -> Iterator[_Stroke]:
    """Yield later and slower strokes, those that end first first, to be added to some before."""
    if not before:
        return
    left = before[-1].end - shortest.begin
    earliest = max(shortest.begin, before[-1].begin)
    candidates = [
        _delayed(shortest, max(earliest, shortest.begin + delay * left), stretch)
        for delay in _DELAYS
        for stretch in _STRETCHES
    ]
    yield from sorted(
        (stroke for stroke in candidates if stroke.end >= before[-1].end),
        key=lambda stroke: stroke.end,
    )


def _keeps_limits(strokes: list[_Stroke], begin: float, limits: MotionLimits) -> bool:
    """Return whether the sum of strokes keeps to the limits from ``begin`` on.

    Rotation speeds and accelerations are bounded by the sums of their sizes, and the accelerations
    by what turning about two axes at once adds.
    """
    times = np.linspace(begin, strokes[-1].end, _SAMPLES)
    speed, acceleration = np.zeros((_SAMPLES, 3)), np.zeros((_SAMPLES, 3))
    turning, turning_up = np.zeros(_SAMPLES), np.zeros(_SAMPLES)
    for stroke in strokes:
        first, second = stroke.rates(times)
        angle = float(np.linalg.norm(stroke.rotation))
        speed += first[:, None] * stroke.translation
        acceleration += second[:, None] * stroke.translation
        turning_up += np.abs(second) * angle + turning * first * angle
        turning += first * angle
    return bool(
        _largest(speed) <= _MARGIN * limits.max_speed
        and _largest(acceleration) <= _MARGIN * limits.max_acceleration
        and turning.max() <= _MARGIN * limits.max_rotation_speed
        and turning_up.max() <= _MARGIN * limits.max_rotation_acceleration
    )


def _largest(vectors: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())


def _moved(start: Pose, strokes: list[_Stroke], time: float) -> Pose:
    """Return where strokes have led to at a time."""
    position, quaternion = start.position, start.quaternion
    for stroke in strokes:
        share = stroke.share(time)
        position = position + share * stroke.translation
        quaternion = quaternion_product(rotation_quaternion(share * stroke.rotation), quaternion)
    return Pose(position, quaternion)
