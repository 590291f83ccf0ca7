# SPDX-License-Identifier: Apache-2.0
"""What is known about where the arm is: the newest measured pose, its age, whether it rests."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa_ros.motion import Pose

_SECOND = 1_000_000_000
_JUMP_DISTANCE = 0.05  # [m] between two measurements more than a moving arm covers; several of ...
_JUMP_ANGLE = 0.5  # [rad] ... them may be lost. Besides, a Franka goes at most ...
_FASTEST = 3.0  # [m/s] ... this fast and ...
_FASTEST_TURN = 2.5  # [rad/s] ... turns this fast, says its manufacturer
_REST_DISTANCE = 0.0005  # [m] less movement than this, and ...
_REST_ANGLE = 0.01  # [rad] ... less rotation than this, for ...
_REST_TIME = _SECOND // 10  # ... this long [ns], is rest


@dataclass(frozen=True)
class _Measurement:
    pose: Pose
    time: int  # [ns]


class PoseMonitor:
    """Takes measured poses. All times are nanoseconds of one clock."""

    def __init__(self) -> None:
        """Begin without a measurement."""
        self._newest: _Measurement | None = None
        self._rest: _Measurement | None = None  # where the arm has been since then

    @property
    def pose(self) -> Pose | None:
        """The newest measured pose, however old; None before the first one."""
        return self._newest.pose if self._newest else None

    def measure(self, pose: Pose, now: int) -> None:
        """Take a measured pose of finite numbers."""
        self._newest = _Measurement(pose, now)
        rest = self._rest.pose if self._rest else None
        if rest is None or rest.distance(pose) > _REST_DISTANCE or rest.angle(pose) > _REST_ANGLE:
            self._rest = self._newest

    def doubt(self, pose: Pose, now: int) -> str:
        """Return why no arm can be measured there now; empty if it can."""
        if not pose.is_finite():
            return 'the measured pose contains NaN or infinity.'
        if self._newest is None:
            return ''
        passed = max(0, now - self._newest.time) / _SECOND
        distance, angle = pose.distance(self._newest.pose), pose.angle(self._newest.pose)
        if (
            distance <= _JUMP_DISTANCE + _FASTEST * passed
            and angle <= _JUMP_ANGLE + _FASTEST_TURN * passed
        ):
            return ''
        return (
            f'the measured pose jumped by {distance:.3f} m and {angle:.2f} rad within '
            f'{passed:.3f} s.'
        )

    def forget(self) -> None:
        """Count nothing that was measured until now as recent."""
        self._newest = self._rest = None

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
