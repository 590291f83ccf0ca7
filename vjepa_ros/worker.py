# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model.

Callbacks of a node only store what came in; the model runs here, one thing at a time, so that
no callback waits for it and nothing queues up in front of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
import logging
import threading
from typing import Any, Generic, TypeVar

from vjepa_planner.errors import VjepaPlannerError

Item = TypeVar('Item')
Result = TypeVar('Result')

MAX_REQUESTS = 8

_log = logging.getLogger(__name__)


class BusyError(VjepaPlannerError):
    """The model takes no more requests."""


class Worker:
    """Runs work on one thread: requests in order, and of every slot the newest item."""

    def __init__(self) -> None:
        """Start the thread."""
        self._condition = threading.Condition()
        self._requests: deque[tuple[Future[Any], Callable[[], object]]] = deque()
        self._slots: list[Slot[Any]] = []
        self._next_slot = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='model', daemon=True)
        self._thread.start()

    def slot(self, work: Callable[[Item], None]) -> Slot[Item]:
        """Return a place for items of which only the newest is worth working on.

        Args:
            work: Called on the thread with an item.
        """
        slot = Slot(self._condition, work)
        with self._condition:
            self._slots.append(slot)
        return slot

    def remove(self, slot: Slot[Any]) -> None:
        """Forget a slot."""
        with self._condition:
            self._slots.remove(slot)
            self._next_slot = 0
        slot.drain()

    def request(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function on the thread, before any slot's item, and return its future result.

        Raises:
            BusyError: Too many requests are waiting, or the worker is closed.
        """
        future: Future[Result] = Future()
        with self._condition:
            if self._closed:
                raise BusyError('the model is being unloaded.')
            if len(self._requests) >= MAX_REQUESTS:
                raise BusyError(
                    f'{MAX_REQUESTS} requests wait for the model already. Try again later.'
                )
            self._requests.append((future, function))
            self._condition.notify()
        return future

    def close(self) -> None:
        """Finish the work at hand, cancel the rest and end the thread."""
        with self._condition:
            self._closed = True
            for future, _ in self._requests:
                future.cancel()
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            try:
                work()
            except Exception:
                _log.exception('work on the model failed')  # the next item may be better

    def _next_work(self) -> Callable[[], None] | None:
        """Wait for work; requests come first, then the slots in turn. None means closed."""
        with self._condition:
            while not self._closed:
                if self._requests:
                    return partial(_answer, *self._requests.popleft())
                for _ in self._slots:
                    slot = self._slots[self._next_slot]
                    self._next_slot = (self._next_slot + 1) % len(self._slots)
                    if (work := slot.take()) is not None:
                        return work
                self._condition.wait()
        return None


def _answer(future: Future[Any], function: Callable[[], object]) -> None:
    """Run a function for whoever waits for its result."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:  # raised where the result is asked for
        future.set_exception(error)


class Slot(Generic[Item]):
    """Holds the newest item until the worker takes it; an older one is overwritten."""

    def __init__(self, condition: threading.Condition, work: Callable[[Item], None]) -> None:
        """Belong to the worker whose condition this is; see :meth:`Worker.slot`."""
        self._condition = condition
        self._work = work
        self._items: list[Item] = []
        self._idle = threading.Event()
        self._idle.set()

    def put(self, item: Item) -> bool:
        """Store an item in place of the one that waits; return whether there was one."""
        with self._condition:
            replaced = bool(self._items)
            self._items = [item]
            self._condition.notify()
        return replaced

    def take(self) -> Callable[[], None] | None:
        """Return the work on the item that waits, or None; called with the condition held."""
        if not self._items:
            return None
        item = self._items.pop()
        self._idle.clear()
        return partial(self._work_on, item)

    def drain(self) -> None:
        """Drop the item that waits, and return when nothing is being worked on."""
        with self._condition:
            self._items.clear()
        self._idle.wait()

    def _work_on(self, item: Item) -> None:
        try:
            self._work(item)
        finally:
            self._idle.set()
