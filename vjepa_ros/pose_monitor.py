# SPDX-License-Identifier: Apache-2.0
"""What is known about where the arm is: the newest measured pose, its age, whether it rests."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa_ros.motion import Pose

_SECOND = 1_000_000_000
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
        """Take a measured pose."""
        self._newest = _Measurement(pose, now)
        rest = self._rest.pose if self._rest else None
        if rest is None or rest.distance(pose) > _REST_DISTANCE or rest.angle(pose) > _REST_ANGLE:
            self._rest = self._newest

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
