# SPDX-License-Identifier: Apache-2.0
"""What the user sees while the demonstration runs: lines, and one that is updated in place."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_PERIOD = 0.1  # [s] between updates
_ERASE_LINE = '\r\x1b[K'


class Display:
    """Writes lines to a terminal, or to a file, which gets no lines that are overwritten."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to ``stream``, by default standard output."""
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._has_live_line = False
        self._next_update = 0.0

    def say(self, line: str = '') -> None:
        """Write a line for good."""
        self._erase()
        self._stream.write(line + '\n')
        self._stream.flush()

    def update(self, line: str) -> None:
        """Show a line until the next one, if there is a terminal to show it on."""
        now = time.monotonic()
        if self._is_terminal and now >= self._next_update:
            self._next_update = now + _PERIOD
            self._erase()
            self._stream.write(line)
            self._stream.flush()
            self._has_live_line = True

    def _erase(self) -> None:
        if self._has_live_line:
            self._stream.write(_ERASE_LINE)
            self._has_live_line = False
