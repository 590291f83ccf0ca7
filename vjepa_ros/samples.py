# SPDX-License-Identifier: Apache-2.0
"""Rates, ages and latencies of the recent past, in memory that does not grow."""

from __future__ import annotations

from collections import deque

import numpy as np

_SIZE = 256
_RATE_WINDOW = 5.0  # [s]


class Samples:
    """The newest numbers of a kind."""

    def __init__(self) -> None:
        """Begin without any."""
        self._numbers: deque[float] = deque(maxlen=_SIZE)

    def add(self, number: float) -> None:
        """Take one; the oldest makes room for it."""
        self._numbers.append(number)

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._numbers)

    def percentile(self, percent: float) -> float:
        """Return a percentile; NaN without numbers."""
        if not self._numbers:
            return float('nan')
        return float(np.percentile(self._numbers, percent))


class Arrivals:
    """When messages came, in steady time [s].

    Attributes:
        count: All that ever came.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.count = 0
        self._times: deque[float] = deque(maxlen=_SIZE)

    def add(self, now: float) -> None:
        """Take one."""
        self.count += 1
        self._times.append(now)

    def silence(self, now: float) -> float:
        """Return the time since the last one [s]; infinite without one."""
        return now - self._times[-1] if self._times else float('inf')

    def rate(self, now: float) -> float:
        """Return how many come per second at present [Hz]."""
        recent = [time for time in self._times if now - time <= _RATE_WINDOW]
        if len(recent) < 2:
            return 0.0
        # To now, where they have stopped to come; to the last one, where they come as ever.
        span = recent[-1] - recent[0]
        overdue = now - recent[-1] > 2.0 * span / (len(recent) - 1)
        return (len(recent) - 1) / max(now - recent[0] if overdue else span, 1e-9)
