# SPDX-License-Identifier: Apache-2.0
"""What every node reports on ``/diagnostics``, once per second: see docs/diagnostics.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vjepa_msgs.msg import Status
from vjepa_ros.inputs import Input
from vjepa_ros.samples import Samples
from vjepa_ros.status import StatusReporter

_PERIOD = 1.0  # [s]
_TOPIC = '/diagnostics'  # absolute by convention: one for all robots of a graph
_DEPTH = 10
_STATES = {
    Status.WAITING: ('waiting', DiagnosticStatus.WARN),
    Status.IDLE: ('idle', DiagnosticStatus.OK),
    Status.EXECUTING: ('executing', DiagnosticStatus.OK),
    Status.HOLDING: ('holding', DiagnosticStatus.WARN),
    Status.STOPPED: ('stopped', DiagnosticStatus.WARN),
    Status.E_STOPPED: ('e-stopped', DiagnosticStatus.ERROR),
}


class Diagnostics:
    """Gathers the statistics of one node and publishes them. Any thread may hand in numbers."""

    def __init__(self) -> None:
        """Begin to gather: rclpy makes subscriptions before a node is complete."""
        self._inputs: list[Input] = []
        self._lock = threading.Lock()
        self._latencies: defaultdict[str, Samples] = defaultdict(Samples)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._values: dict[str, float] = {}

    def publish_for(self, node: Node, status: StatusReporter) -> None:
        """Publish for a node from now on.

        Args:
            node: Complete, so that it can have publishers.
            status: What the node says of itself.
        """
        self._node, self._status = node, status
        self._publisher = node.create_publisher(DiagnosticArray, _TOPIC, _DEPTH)
        # Steady: it goes on while the clock of a simulation stands still.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_PERIOD, self._publish, clock=clock)

    # -- what is handed in ---------------------------------------------------------------------

    def watch(
        self,
        node: Node,
        topic: str,
        profile: QoSProfile | int,
        callback: Callable[[Any], None],
    ) -> tuple[Input, Callable[[Any], None], SubscriptionEventCallbacks]:
        """Return what a subscription has to be made with in order to be watched."""
        found = Input(node, topic, profile)
        self._inputs.append(found)

        def on_mismatch(event: Any) -> None:  # noqa: ANN401 - of rclpy's C part
            found.on_mismatch(event)
            self._status.reject(found.complaint(time.monotonic()))
            self._publish()  # now, and not with the next period

        events = SubscriptionEventCallbacks(incompatible_qos=on_mismatch)
        return found, found.counting(callback), events

    def forget(self, subscription: Subscription) -> None:
        """Watch a subscription no longer."""
        self._inputs = [one for one in self._inputs if not one.is_of(subscription)]

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Take the time of what happens inside as a latency."""
        begin = time.perf_counter()
        yield
        self.latency(name, time.perf_counter() - begin)

    def latency(self, name: str, seconds: float) -> None:
        """Take a latency [s]."""
        with self._lock:
            self._latencies[name].add(seconds)

    def count(self, name: str) -> None:
        """Count one of these."""
        with self._lock:
            self._counts[name] += 1

    def value(self, name: str, number: float) -> None:
        """Take the newest value of a quantity."""
        with self._lock:
            self._values[name] = number

    # -- what goes out -------------------------------------------------------------------------

    def _publish(self) -> None:
        now = time.monotonic()
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [
            self._node_status(),
            *(self._input_status(one, now) for one in self._inputs if self._is_worth(one, now)),
        ]
        self._publisher.publish(message)

    @staticmethod
    def _is_worth(one: Input, now: float) -> bool:
        return one.is_stream or bool(one.complaint(now))

    def _node_status(self) -> DiagnosticStatus:
        status = self._status.current()
        state, level = _STATES[status.state]
        values: dict[str, object] = {
            'state': state,
            'accepted': status.accepted,
            'rejected': status.rejected,
            'goal': status.goal_id,
        }
        now = time.monotonic()
        for one in self._inputs:
            if not one.is_stream:
                values[f'{one.topic} received'] = one.arrivals.count
        with self._lock:
            for name, samples in self._latencies.items():
                values |= _in_milliseconds(name, samples)
            values |= self._counts
            values |= {name: f'{value:.6g}' for name, value in self._values.items()}
        complaints = [one.complaint(now) for one in self._inputs]
        reason = ' '.join(filter(None, [status.reason, *complaints]))
        if any(complaints):
            level = DiagnosticStatus.ERROR
        return self._make_status('', level, reason or state, values)

    def _input_status(self, one: Input, now: float) -> DiagnosticStatus:
        complaint, level = one.complaint(now), DiagnosticStatus.OK
        if complaint:
            level = DiagnosticStatus.STALE if one.has_stopped(now) else DiagnosticStatus.ERROR
        rate = one.arrivals.rate(now)
        values = {
            'received': one.arrivals.count,
            'rate [Hz]': f'{rate:.1f}',
            **_in_milliseconds('age', one.ages),
        }
        reason = complaint or (f'{rate:.1f} Hz' if one.arrivals.count else 'starting')
        return self._make_status(f' {one.topic}', level, reason, values)

    def _make_status(
        self, suffix: str, level: bytes, reason: str, values: dict[str, object]
    ) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=self._node.get_fully_qualified_name() + suffix,
            message=reason,
            hardware_id='vjepa_ros',
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def _in_milliseconds(name: str, samples: Samples) -> dict[str, str]:
    """Return median and 99th percentile of times [s]."""
    if not len(samples):
        return {}
    return {
        f'{name} p{percent} [ms]': f'{1000 * samples.percentile(percent):.1f}'
        for percent in (50, 99)
    }
