# SPDX-License-Identifier: Apache-2.0
"""An action client that is made again where DDS does not match it with its server."""

from __future__ import annotations

from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

_LOSS_TIMEOUT = 1.0  # [s] for a server that DDS loses sight of to be seen again
_MATCH_TIMEOUT = 3.0  # [s] for DDS to match a client with a server that is on the graph


class ActionConnection:
    """How an action server is spoken to.

    With rmw_fastrtps a client has been seen to stay unmatched for good although its server was on
    the graph: in about 1 of 30 processes that held both. One that is made later is matched.

    Attributes:
        action: Type of the action.
        client: The newest client.
    """

    def __init__(self, node: Node, action: Any, name: str) -> None:  # noqa: ANN401 - no base class
        """Make a client of the action ``name`` on ``node``."""
        self.action = action
        self.client = ActionClient(node, action, name)
        self._node, self._name = node, name
        self._missing = 0.0  # steady time [s] since when the server is; 0 while it is there
        self._unmatched = 0.0  # steady time [s] since when; 0 while matched, or without a server

    @property
    def is_ready(self) -> bool:
        """Whether the server is there, and hears the client."""
        return self.client.server_is_ready()

    def is_lost(self, now: float) -> bool:
        """Whether the server has been missing for so long that it must have ended.

        On a busy machine one that is there has been reported missing for a moment.

        Args:
            now: Steady time [s].
        """
        return self._missing > 0.0 and now - self._missing > _LOSS_TIMEOUT

    def refresh(self, now: float) -> None:
        """Look for the server; make another client if this one has been unmatched for long.

        The old one stays until the node ends: an executor may be waiting for it.

        Args:
            now: Steady time [s].
        """
        ready = self.is_ready
        self._missing = 0.0 if ready else self._missing or now
        if ready or not self._node.count_services(f'{self._name}/_action/send_goal'):
            self._unmatched = 0.0
        elif not self._unmatched:
            self._unmatched = now
        elif now - self._unmatched > _MATCH_TIMEOUT:
            self._node.get_logger().warning(f'connecting to the action {self._name} again')
            self.client, self._unmatched = ActionClient(self._node, self.action, self._name), now
