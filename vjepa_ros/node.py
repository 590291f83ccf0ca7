# SPDX-License-Identifier: Apache-2.0
"""What all nodes have in common: where they live, a status, and an orderly end."""

from __future__ import annotations

import threading

from rclpy.node import Node

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
