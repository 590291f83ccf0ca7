# SPDX-License-Identifier: Apache-2.0
"""What is known about where the arm is: the newest measured pose, its age, whether it rests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vjepa_ros.motion import Pose

_SECOND = 1_000_000_000
_JUMP_DISTANCE = 0.02  # [m] by which noise and rounded stamps may move a measurement, and ...
_JUMP_ANGLE = 0.2  # [rad] ... turn it
_FASTEST_TURN = 2.5  # [rad/s] that a Franka does, says its manufacturer
_REST_DISTANCE = 0.0005  # [m] less movement than this, and ...
_REST_ANGLE = 0.01  # [rad] ... less rotation than this, for ...
_HISTORY_PERIOD = _SECOND // 50  # [ns] between two poses that are remembered
_HISTORY_LENGTH = 500
_REST_TIME = _SECOND // 10  # ... this long [ns], is rest


@dataclass(frozen=True)
class _Measurement:
    pose: Pose
    time: int  # when it was measured [ns]


class PoseMonitor:
    """Takes measured poses. All times are nanoseconds of one clock."""

    def __init__(self) -> None:
        """Begin without a measurement."""
        self._newest: _Measurement | None = None
        self._rest: _Measurement | None = None  # where the arm has been since then
        self._history: deque[_Measurement] = deque(maxlen=_HISTORY_LENGTH)

    @property
    def pose(self) -> Pose | None:
        """The newest measured pose, however old; None before the first one."""
        return self._newest.pose if self._newest else None

    def is_news(self, stamp: int) -> bool:
        """Return whether a measurement of this time [ns] is newer than the newest."""
        return self._newest is None or stamp > self._newest.time

    def measure(self, pose: Pose, stamp: int) -> None:
        """Take a pose of finite numbers that was measured at ``stamp``."""
        self._newest = _Measurement(pose, stamp)
        if not self._history or stamp - self._history[-1].time >= _HISTORY_PERIOD:
            self._history.append(self._newest)
        rest = self._rest.pose if self._rest else None
        if rest is None or rest.distance(pose) > _REST_DISTANCE or rest.angle(pose) > _REST_ANGLE:
            self._rest = self._newest

    def doubt(self, pose: Pose, stamp: int, max_speed: float) -> str:
        """Return why no arm can have been there at that time; empty if it can.

        Args:
            pose: Measured pose.
            stamp: When it was measured [ns].
            max_speed: More than this no arm does [m/s].
        """
        if not pose.is_valid():
            return 'the measured pose contains NaN or infinity, or is no rotation.'
        if self._newest is None:
            return ''
        passed = max(0, stamp - self._newest.time) / _SECOND
        distance, angle = pose.distance(self._newest.pose), pose.angle(self._newest.pose)
        near = distance <= _JUMP_DISTANCE + max_speed * passed
        if near and angle <= _JUMP_ANGLE + _FASTEST_TURN * passed:
            return ''
        return (
            f'state discontinuity: the measured pose jumped by {distance:.3f} m and {angle:.2f} '
            f'rad within {passed:.3f} s.'
        )

    def forget(self) -> None:
        """Count nothing that was measured until now as recent."""
        self._newest = self._rest = None
        self._history.clear()

    def closest(self, pose: Pose, since: int) -> Pose:
        """Return which of the poses of the arm since a time [ns] is closest to another one.

        Raises:
            ValueError: Nothing was measured yet.
        """
        if self._newest is None:
            raise ValueError('nothing was measured yet')
        begin = since - _HISTORY_PERIOD  # the pose before counts, too
        poses = [one.pose for one in self._history if one.time >= begin]
        return min([*poses, self._newest.pose], key=pose.distance)

    def age(self, now: int) -> float:
        """Return the age of the newest measurement [s]; infinite without one."""
        return (now - self._newest.time) / _SECOND if self._newest else float('inf')

    def at_rest(self, now: int, max_age: float) -> bool:
        """Return whether the arm rests, as far as measurements up to ``max_age`` [s] old tell.

        Only what was measured counts: no news of the arm is not rest.
        """
        if self._rest is None or self._newest is None:
            return False
        rests = self._newest.time - self._rest.time >= _REST_TIME
        return rests and self.age(now) <= max_age
