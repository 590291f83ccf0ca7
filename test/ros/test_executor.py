# SPDX-License-Identifier: Apache-2.0
"""The executor with several threads waits where there is nothing to do, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
import threading
import time

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import UInt8

from vjepa_ros import qos
from vjepa_ros.executor import ThreadPoolExecutor

THREADS = 2


class Listener(Node):
    """Hears `slow`, whose callbacks wait until they may go on, and `quick`."""

    def __init__(self) -> None:
        super().__init__('listener')
        self.may_go_on = threading.Event()
        self.waiting = 0
        self.heard: list[int] = []
        slow, quick = ReentrantCallbackGroup(), MutuallyExclusiveCallbackGroup()
        self.create_subscription(UInt8, 'slow', self._wait, qos.RESULT, callback_group=slow)
        self.create_subscription(
            UInt8,
            'quick',
            lambda message: self.heard.append(message.data),
            qos.RESULT,
            callback_group=quick,
        )
        self.slow = self.create_publisher(UInt8, 'slow', qos.RESULT)
        self.quick = self.create_publisher(UInt8, 'quick', qos.RESULT)

    def _wait(self, _message: UInt8) -> None:
        self.waiting += 1
        self.may_go_on.wait(30.0)


@pytest.fixture
def listener() -> Iterator[Listener]:
    rclpy.init()
    node = Listener()
    yield node
    node.may_go_on.set()
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def executor(listener) -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(THREADS)
    executor.add_node(listener)
    yield executor
    listener.may_go_on.set()
    executor.shutdown()


def spin_until(executor, condition, what: str) -> int:
    """Spin until a condition holds; return in how many turns."""
    deadline, turns = time.monotonic() + 20.0, 0
    while not condition():
        assert time.monotonic() < deadline, what
        executor.spin_once(0.1)
        turns += 1
    return turns


def occupy(executor, listener) -> None:
    """Let all threads wait."""
    for number in range(THREADS):
        listener.slow.publish(UInt8(data=number))
        spin_until(executor, lambda seen=number: listener.waiting > seen, 'a callback that waits')


def test_a_message_that_no_thread_is_free_for_does_not_keep_the_executor_turning(
    executor, listener
) -> None:
    occupy(executor, listener)
    listener.quick.publish(UInt8(data=7))
    turns = spin_for(executor, 0.5)
    assert turns < 20, 'that of rclpy takes more than a thousand'
    assert not listener.heard
    listener.may_go_on.set()
    spin_until(executor, lambda: listener.heard, 'the message')
    assert listener.heard == [7]


def spin_for(executor, seconds: float) -> int:
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        executor.spin_once(0.1)
        turns += 1
    return turns


def test_callbacks_of_one_group_are_called_one_after_another(executor, listener) -> None:
    for number in range(20):
        listener.quick.publish(UInt8(data=number))
        spin_until(executor, lambda seen=number: len(listener.heard) > seen, 'a message')
    assert listener.heard == list(range(20))


def test_what_a_callback_raises_ends_the_spinning(executor, listener) -> None:
    def fail() -> None:
        raise RuntimeError('a fault')

    timer = listener.create_timer(0.01, fail)
    with pytest.raises(RuntimeError, match='a fault'):
        spin_for(executor, 5.0)
    timer.cancel()


def test_a_coroutine_that_awaits_goes_on_when_it_may(executor, listener) -> None:
    answer: rclpy.Future = rclpy.Future()

    async def wait_for_answer() -> int:
        return await answer

    task = executor.create_task(wait_for_answer)
    spin_for(executor, 0.1)
    assert not task.done()
    answer.set_result(5)
    spin_until(executor, task.done, 'the end of the coroutine')
    assert task.result() == 5


def test_shutdown_waits_for_callbacks(executor, listener) -> None:
    occupy(executor, listener)
    threading.Timer(0.2, listener.may_go_on.set).start()
    executor.shutdown()
    assert listener.may_go_on.is_set()
