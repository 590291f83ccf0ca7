# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C between two steps, never within one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interruption:
    """Whether somebody wants the run to end.

    Attributes:
        requested: Set by the first Ctrl-C; the second one is not waited for.
    """

    requested: bool = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def deferred_interruption() -> Iterator[Interruption]:
    """Remember Ctrl-C, or a request to terminate, instead of raising it wherever it comes.

    Outside the main thread, where signals do not arrive, nothing is changed.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, interruption._on_signal)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
