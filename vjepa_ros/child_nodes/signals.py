# SPDX-License-Identifier: Apache-2.0
"""Ends a command and its nodes in an orderly way, however it is asked to end."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A signal asks to end; whatever signal it is, it is taken like Ctrl-C.

    Attributes:
        exit_code: By convention of shells: 128 plus the number of the signal.
    """

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(number)
        self.exit_code = 128 + number


def raise_on_signals() -> None:
    """Raise :class:`Interrupted` at the first signal; let nothing disturb the end after it.

    Python drops what is raised while it destroys an object or runs a callback of a library: who
    waits for something calls :func:`raise_if_signalled` now and then.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    for number in _SIGNALS:
        signal.signal(number, on_signal)


def raise_if_signalled() -> None:
    """Raise :class:`Interrupted` again if a signal has come."""
    if _received:
        raise Interrupted(_received[0])
