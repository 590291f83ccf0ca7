# SPDX-License-Identifier: Apache-2.0
"""What all nodes have in common: where they live, status, diagnostics, and an orderly end."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
import threading
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vjepa_ros.diagnostics import Diagnostics
from vjepa_ros.status import StatusReporter

NAMESPACE = 'vjepa'
"""Where the nodes live unless they are remapped (``--ros-args -r __ns:=/elsewhere``)."""


class VjepaNode(Node):
    """A node with a status and diagnostics.

    Attributes:
        status: Says what the node is doing.
        diagnostics: Says how well. Every subscription is watched by itself.
        closing: Set when the process ends; callbacks that wait for something return then.
        is_finalized: Whether somebody has shut the node down, so that the process may end.
        threads: That its callbacks need. More than one is for nodes in which a callback waits for
            something; see their modules.
        awaits: Whether one of them is a coroutine.
    """

    is_finalized = False
    threads = 1
    awaits = False

    def __init__(self, name: str) -> None:
        """Create the node ``name`` in the namespace of this package."""
        self.diagnostics = Diagnostics()  # first: the base class makes subscriptions, too
        super().__init__(name, namespace=NAMESPACE)
        self.status = StatusReporter(self)
        self.diagnostics.publish_for(self, self.status)
        self.closing = threading.Event()

    def create_subscription(
        self,
        msg_type: Any,  # noqa: ANN401 - any type of message
        topic: str,
        callback: Callable[[Any], None],
        qos_profile: QoSProfile | int,
        **options: Any,  # noqa: ANN401 - those of the base class
    ) -> Subscription:
        """Create a subscription whose rate, ages and QoS appear in the diagnostics."""
        watched, counting, events = self.diagnostics.watch(self, topic, qos_profile, callback)
        options.setdefault('event_callbacks', events)
        subscription = super().create_subscription(
            msg_type, topic, counting, copy(qos_profile), **options
        )
        watched.attach(subscription)
        return subscription

    def create_publisher(
        self,
        msg_type: Any,  # noqa: ANN401 - any type of message
        topic: str,
        qos_profile: QoSProfile | int,
        **options: Any,  # noqa: ANN401 - those of the base class
    ) -> Publisher:
        """Create a publisher; rclpy writes overrides into the profile that it is given."""
        return super().create_publisher(msg_type, topic, copy(qos_profile), **options)

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Destroy a subscription, of which the diagnostics tell no longer."""
        self.diagnostics.forget(subscription)
        return super().destroy_subscription(subscription)

    def begin(self) -> None:
        """Do what is to be done before the callbacks run; called once by who spins the node.

        Raises:
            VjepaPlannerError: It cannot be done.
        """

    def close(self) -> None:
        """Say the last word and end what runs beside the callbacks.

        Called once, while the node can still publish and callbacks may still run.
        """
        self.closing.set()
