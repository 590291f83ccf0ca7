# SPDX-License-Identifier: Apache-2.0
"""A node between two others that spoils what passes: the fault proxy.

It takes a topic, and publishes each message on ``faulty/<topic>`` as the fault of that topic says:
later, never, twice, in another order, or changed. A node is put behind it by a remapping such as
``commander:current_pose:=faulty/current_pose``.
"""

from __future__ import annotations

from collections.abc import Callable
import copy
import heapq
import itertools
import threading
import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile

from vjepa_ros.node import VjepaNode

PREFIX = 'faulty/'
_PERIOD = 0.002  # [s] between two looks at what is due

Fault = Callable[[Any], list[tuple[float, Any]]]
"""From a message to the messages that are published for it, each with its delay [s]."""


def passed_on(message: Any) -> list[tuple[float, Any]]:
    """No fault."""
    return [(0.0, message)]


def dropped(_message: Any) -> list[tuple[float, Any]]:
    """Nothing arrives."""
    return []


def delayed(seconds: float) -> Fault:
    """Everything arrives later."""
    return lambda message: [(seconds, message)]


def duplicated(times: int, spacing: float = 0.001) -> Fault:
    """Everything arrives several times."""
    return lambda message: [(spacing * number, message) for number in range(times)]


def reordered(depth: int) -> Fault:
    """Of every ``depth`` messages the last one arrives first."""
    waiting: list[Any] = []

    def fault(message: Any) -> list[tuple[float, Any]]:
        waiting.append(message)
        if len(waiting) < depth:
            return []
        turned = [(0.001 * place, one) for place, one in enumerate(reversed(waiting))]
        waiting.clear()
        return turned

    return fault


def changed(change: Callable[[Any], None]) -> Fault:
    """Everything arrives with something in it changed."""

    def fault(message: Any) -> list[tuple[float, Any]]:
        spoiled = copy.deepcopy(message)
        change(spoiled)
        return [(0.0, spoiled)]

    return fault


def frozen() -> Fault:
    """What the first message says comes again and again, under the newest header."""
    first: list[Any] = []

    def fault(message: Any) -> list[tuple[float, Any]]:
        first.append(message)
        stale = copy.copy(first[0])
        stale.header = message.header
        return [(0.0, stale)]

    return fault


class FaultProxy(VjepaNode):
    """Passes messages on, well or badly."""

    def __init__(self) -> None:
        super().__init__('fault_proxy')
        self.began: dict[str, float] = {}  # steady time [s] of the first spoiled message
        self.last: dict[str, float] = {}  # steady time [s] of the last message that arrived
        self._faults: dict[str, Fault] = {}
        self._publishers_of: dict[str, Any] = {}
        self._due: list[tuple[float, int, str, Any]] = []
        self._count = itertools.count()
        self._lock = threading.Lock()
        self.create_timer(_PERIOD, self._flush, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def relay(self, message: Any, topic: str, taken: QoSProfile, given: QoSProfile) -> None:
        """Stand between the publishers of a topic and those who are remapped to the faulty one.

        Args:
            message: Type of the messages.
            topic: Its name.
            taken: Quality of service of the subscription.
            given: Quality of service of what is published.
        """
        name = f'/{PREFIX}{topic[1:]}' if topic.startswith('/') else PREFIX + topic
        self._publishers_of[topic] = self.create_publisher(message, name, given)
        self._faults[topic] = passed_on
        self.create_subscription(message, topic, lambda one: self._take(topic, one), taken)

    def spoil(self, topic: str, fault: Fault) -> None:
        """From the next message on, do this to a topic."""
        with self._lock:
            self.began.pop(topic, None)
            self._faults[topic] = fault

    def heal(self, topic: str) -> None:
        """Pass everything on again."""
        self.spoil(topic, passed_on)

    def _take(self, topic: str, message: Any) -> None:
        with self._lock:
            fault = self._faults[topic]
            if fault is not passed_on:
                self.began.setdefault(topic, time.monotonic())
            now = time.monotonic()
            for delay, one in fault(message):
                heapq.heappush(self._due, (now + delay, next(self._count), topic, one))
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, _, topic, message = heapq.heappop(self._due)
                self.last[topic] = now
                self._publishers_of[topic].publish(message)
