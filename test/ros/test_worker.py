# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model: newest items only, every request, and never two at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
import logging
import threading

import pytest

from vjepa_ros.worker import BusyError, MAX_REQUESTS, Worker

TIMEOUT = 30.0  # [s]


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


class Block:
    """Work that lasts until it is told to end."""

    def __init__(self, worker: Worker) -> None:
        self._began, self._end = threading.Event(), threading.Event()
        self.future = worker.request(self._work)
        assert self._began.wait(TIMEOUT)

    def _work(self) -> None:
        self._began.set()
        assert self._end.wait(TIMEOUT)

    def end(self) -> None:
        self._end.set()


def test_of_several_items_only_the_newest_is_worked_on(worker: Worker) -> None:
    done: list[int] = []
    finished = threading.Event()

    def work(item: int) -> None:
        done.append(item)
        finished.set()

    slot = worker.slot(work)
    block = Block(worker)
    for item in range(5):
        slot.put(item)
    block.end()
    assert finished.wait(TIMEOUT)
    assert done == [4]


def test_slots_take_turns(worker: Worker) -> None:
    order: list[str] = []
    finished = threading.Event()

    def work(name: str) -> None:
        order.append(name)
        if len(order) < 6:
            slots[name].put(name)
        else:
            finished.set()

    block = Block(worker)
    slots = {name: worker.slot(work) for name in ('encoder', 'planner')}
    for name, slot in slots.items():
        slot.put(name)
    block.end()
    assert finished.wait(TIMEOUT)
    assert order[:6] == ['encoder', 'planner'] * 3


def test_a_request_returns_what_its_function_returns_or_raises(worker: Worker) -> None:
    assert worker.request(lambda: 6 * 7).result(TIMEOUT) == 42
    with pytest.raises(ZeroDivisionError):
        worker.request(lambda: 1 // 0).result(TIMEOUT)


def test_too_many_requests_are_refused(worker: Worker) -> None:
    block = Block(worker)
    for _ in range(MAX_REQUESTS):
        worker.request(lambda: None)
    with pytest.raises(BusyError, match='requests wait'):
        worker.request(lambda: None)
    block.end()


def test_work_that_fails_is_logged_and_the_next_item_is_worked_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def work(item: str) -> None:
        if item == 'bad':
            raise RuntimeError('out of memory')
        done.set()

    slot = worker.slot(work)
    with caplog.at_level(logging.ERROR):
        slot.put('bad')
        while 'out of memory' not in caplog.text and not done.wait(0.01):
            pass
        slot.put('good')
        assert done.wait(TIMEOUT)


def test_requests_that_wait_when_it_closes_are_cancelled() -> None:
    worker = Worker()
    block = Block(worker)
    waiting = worker.request(lambda: None)
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(TIMEOUT)
    block.end()
    closing.join(TIMEOUT)
    with pytest.raises(BusyError, match='unloaded'):
        worker.request(lambda: None)
