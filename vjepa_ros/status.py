# SPDX-License-Identifier: Apache-2.0
"""How a node says what it does: on the topic ``status``, at every change and as a heartbeat."""

from __future__ import annotations

import threading

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from vjepa_msgs.msg import Status
from vjepa_ros import qos

_HEARTBEAT = 0.2  # [s]
_SILENT_FIELDS = {'accepted'}  # counts on in every heartbeat, which is often enough


class StatusReporter:
    """Publishes the status of one node. Its methods may be called from any thread."""

    def __init__(self, node: Node) -> None:
        """Begin in the state WAITING and publish from now on."""
        self._node = node
        self._lock = threading.Lock()
        self._message = Status(node=node.get_name(), state=Status.WAITING, reason='starting')
        self._publisher = node.create_publisher(
            Status, 'status', qos.STATUS, qos_overriding_options=qos.OVERRIDABLE
        )
        # Steady: the heart beats on while the clock of a simulation stands still.
        node.create_timer(_HEARTBEAT, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def current(self) -> Status:
        """Return what is said at present; not to be changed."""
        return self._message

    def update(self, **fields: object) -> None:
        """Set fields of the status, and publish it if that changes it."""
        with self._lock:
            changed = {
                name for name, value in fields.items() if getattr(self._message, name) != value
            }
            for name in changed:
                setattr(self._message, name, fields[name])
        if changed - _SILENT_FIELDS:
            self._publish()

    def accept(self) -> None:
        """Count one input that was worked on."""
        with self._lock:
            self._message.accepted += 1

    def reject(self, reason: str) -> None:
        """Count one input that was refused, say why, and log it at most once per second."""
        with self._lock:
            self._message.rejected += 1
        self._node.get_logger().error(reason, throttle_duration_sec=1.0)
        self.update(reason=reason)

    def _publish(self) -> None:
        with self._lock:
            self._message.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(self._message)
