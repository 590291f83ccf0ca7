# SPDX-License-Identifier: Apache-2.0
"""Shows that a long computation without a progress bar is alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Show a line with the elapsed time until the block ends.

    None is shown if it ends within a second, or where nobody looks at a terminal.

    Args:
        doing: What the line says.
    """
    from tqdm import tqdm

    done = Event()

    def show() -> None:
        if done.wait(1.0):
            return
        with tqdm(desc=doing, bar_format='{desc}: {elapsed}', leave=False, disable=None) as line:
            while not done.wait(1.0):
                line.refresh()

    thread = Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
