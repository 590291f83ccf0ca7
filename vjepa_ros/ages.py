# SPDX-License-Identifier: Apache-2.0
"""Whether something is recent enough to act upon. Judged when it is used, after every wait."""

from __future__ import annotations

from vjepa_planner.errors import InvalidInputError

_SECOND = 1_000_000_000
_CLOCK_TOLERANCE = _SECOND // 10  # [ns] by which the clock of another machine may be ahead


def check_age(name: str, stamp: int, now: int, max_age: float) -> None:
    """Raise if a stamp is not between ``max_age`` ago and now.

    Args:
        name: What it is the stamp of.
        stamp: [ns]
        now: Present time of the same clock [ns].
        max_age: Largest age allowed [s].

    Raises:
        InvalidInputError: It is zero, too old, or in the future.
    """
    if stamp == 0:
        raise InvalidInputError(f'{name} has no stamp; its source must fill header.stamp.')
    age = (now - stamp) / _SECOND
    if age > max_age:
        raise InvalidInputError(
            f'{name} is {age:.2f} s old, at most {max_age:g} s are allowed. Is its source slow, '
            'or its clock another one (use_sim_time)?'
        )
    if stamp > now + _CLOCK_TOLERANCE:
        raise InvalidInputError(
            f'{name} comes from {-age:.2f} s in the future. Compare the clocks (use_sim_time).'
        )
