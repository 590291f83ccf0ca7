# SPDX-License-Identifier: Apache-2.0
"""The node of a command: hears what the other nodes say and calls their services."""

from __future__ import annotations

from collections.abc import Callable
import time
from types import TracebackType
from typing import Any, Self

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_ros import qos
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.nodes import NODES
from vjepa_ros.lifecycle import NOT_WORKING
from vjepa_ros.node import NAMESPACE

COMMANDER = 'commander'
_START_TIMEOUT = 300.0  # [s] for loading a model on a slow and busy computer
_LATENCY = 0.05  # [s] at most until a change of the display
_READY_STATES = {
    'simulator': (Status.EXECUTING,),
    'encoder': (Status.EXECUTING,),
    'goal': (Status.WAITING,),  # for its first goal
    'planner': (Status.WAITING,),  # likewise
    'commander': (Status.IDLE, Status.STOPPED),
}


class NodeWatcher:
    """Keeps what the nodes say. Everything happens in :meth:`spin`, on the caller's thread.

    Attributes:
        statuses: The newest status of each node.
    """

    def __init__(self, name: str, check: Callable[[], None], namespace: str = NAMESPACE) -> None:
        """Join the graph.

        Args:
            name: Of this node.
            check: Called regularly; what it raises ends whatever is waited for.
            namespace: Of the nodes.
        """
        self._check = check
        self.statuses: dict[str, Status] = {}
        # Ctrl-C is the business of this process, not of rclpy: the nodes are to be ended in order.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name, namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._subscriptions: list[Any] = []
        self._clients: list[Any] = []
        self.subscribe(Status, 'status', self._on_status, qos.ALL_STATUS)
        self._stop = self.client(Trigger, 'stop')

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def subscribe(
        self,
        message: Any,  # noqa: ANN401 - any type of message
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
    ) -> None:
        """Take the messages of a topic; :meth:`is_connected` waits for its source."""
        self._subscriptions.append(
            self._node.create_subscription(message, topic, callback, profile)
        )

    def client(self, service: Any, name: str) -> Any:  # noqa: ANN401 - any service
        """Return the client of a service; :meth:`is_connected` waits for its server."""
        self._clients.append(self._node.create_client(service, name))
        return self._clients[-1]

    def now(self) -> int:
        """Return the present time of the stamps' clock [ns]."""
        return int(self._node.get_clock().now().nanoseconds)

    def header(self) -> Header:
        """Return a header of now."""
        return Header(stamp=self._node.get_clock().now().to_msg())

    def spin(self) -> None:
        """Take what has come, or wait for it for a moment."""
        self._executor.spin_once(timeout_sec=_LATENCY)
        self._check()

    # -- waiting -------------------------------------------------------------------------------

    def wait_for_nodes(
        self,
        on_ready: Callable[[str, float], None],
        on_wait: Callable[[str, float], None],
    ) -> None:
        """Return when all nodes are ready and this one is connected to them.

        Args:
            on_ready: Called with the name of a node and the seconds that it took.
            on_wait: Called meanwhile with what is waited for, and the seconds so far.

        Raises:
            NodesError: One is not in time.
        """
        begin = time.monotonic()
        waiting = list(NODES)
        while waiting or not self.is_connected():
            self.spin()
            seconds = time.monotonic() - begin
            for node in [node for node in waiting if self._is_ready(node)]:
                waiting.remove(node)
                on_ready(node, seconds)
            names = ', '.join(waiting) or 'the connections'
            on_wait(names, seconds)
            if seconds > _START_TIMEOUT:
                raise NodesError(
                    f'not ready after {_START_TIMEOUT:g} s: {names}. {self.what_nodes_say()}'
                )

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float) -> None:
        """Return when a condition holds.

        Raises:
            NodesError: It does not within ``timeout`` [s]; the message has ``what`` and what the
                nodes say.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.spin()
            if time.monotonic() > deadline:
                raise NodesError(f'no {what} for {timeout:g} s. {self.what_nodes_say()}')

    def is_connected(self) -> bool:
        """Return whether every topic has its source and every service its server."""
        return all(
            subscription.get_publisher_count() for subscription in self._subscriptions
        ) and all(client.service_is_ready() for client in self._clients)

    def what_nodes_say(self) -> str:
        """Return the reason that each node gives for what it does."""
        reasons = {
            node: self.statuses[node].reason if node in self.statuses else 'silent'
            for node in NODES
        }
        return ' '.join(f'{node}: {reason}' for node, reason in reasons.items() if reason)

    def _is_ready(self, node: str) -> bool:
        status = self.statuses.get(node)
        return (
            status is not None
            and not status.reason.startswith(NOT_WORKING)
            and status.state in _READY_STATES[node]
        )

    # -- services ------------------------------------------------------------------------------

    def stop(self, timeout: float) -> None:
        """Tell the commander to hold the arm.

        Raises:
            NodesError: It does not answer.
        """
        self.call(self._stop, Trigger.Request(), timeout)

    def call(self, client: Any, request: Any, timeout: float) -> Any:  # noqa: ANN401 - any service
        """Return the answer of a service that says ``success``.

        Raises:
            NodesError: It refuses, or does not answer within ``timeout`` [s].
        """
        answer = self.wait_for_answer(client, client.call_async(request), timeout)
        if not answer.success:
            raise NodesError(f'{client.service_name} refused: {answer.message}')
        return answer

    def wait_for_answer(self, client: Any, future: Future, timeout: float) -> Any:  # noqa: ANN401
        """Return the answer to a request.

        Raises:
            NodesError: It does not come within ``timeout`` [s].
        """
        deadline = time.monotonic() + timeout
        while not future.done():
            self.spin()
            if time.monotonic() > deadline:
                raise NodesError(f'{client.service_name} did not answer within {timeout:g} s.')
        return future.result()

    # -- what comes in -------------------------------------------------------------------------

    def _on_status(self, message: Status) -> None:
        before = self.statuses.get(message.node)
        self.statuses[message.node] = message
        if message.node == COMMANDER:
            self.commander_says(message, before)

    def commander_says(self, message: Status, before: Status | None) -> None:
        """Take a status of the commander, and the one before it if there was one."""
