# SPDX-License-Identifier: Apache-2.0
"""Shows that a long computation without a progress bar is alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import sys
from threading import Event, Thread
from time import perf_counter


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Show the seconds that pass until the block ends, if a person looks at a terminal.

    Args:
        doing: What the line says.
    """
    done = Event()
    thread = Thread(target=_show, args=(doing, done), daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


def _show(doing: str, done: Event) -> None:
    start, line = perf_counter(), ''
    while not done.wait(1.0):
        line = f'{doing}: {perf_counter() - start:.0f} s'
        print(line, end='\r', file=sys.stderr, flush=True)
    print(' ' * len(line), end='\r', file=sys.stderr, flush=True)
