# SPDX-License-Identifier: Apache-2.0
"""What all nodes have in common: where they live, a status, and an orderly end."""

from __future__ import annotations

import copy
import threading
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from vjepa_ros.status import StatusReporter

NAMESPACE = 'vjepa'
"""Where the nodes live unless they are remapped (``--ros-args -r __ns:=/elsewhere``)."""


class VjepaNode(Node):
    """A node with a status.

    Attributes:
        status: Says what the node is doing.
        closing: Set when the process ends; callbacks that wait for something return then.
    """

    def __init__(self, name: str) -> None:
        """Create the node ``name`` in the namespace of this package."""
        super().__init__(name, namespace=NAMESPACE)
        self.status = StatusReporter(self)
        self.closing = threading.Event()

    def close(self) -> None:
        """Say the last word and end what runs beside the callbacks.

        Called once, while the node can still publish and callbacks may still run.
        """
        self.closing.set()

    # rclpy writes the overrides of an endpoint into the profile that it is given, and ours are
    # shared by all endpoints of a process.

    def create_publisher(
        self,
        message: Any,  # noqa: ANN401 - as in rclpy
        topic: str,
        profile: QoSProfile,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return a publisher as rclpy does, and leave the profile as it is."""
        return super().create_publisher(message, topic, copy.copy(profile), **options)

    def create_subscription(
        self,
        message: Any,  # noqa: ANN401 - as in rclpy
        topic: str,
        callback: Any,  # noqa: ANN401
        profile: QoSProfile,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return a subscription as rclpy does, and leave the profile as it is."""
        return super().create_subscription(message, topic, callback, copy.copy(profile), **options)
