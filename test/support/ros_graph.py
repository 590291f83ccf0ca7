# SPDX-License-Identifier: Apache-2.0
"""A real, private ROS graph: nodes under test, and an observer to talk to them."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import threading
import time
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy')
pytest.importorskip('vjepa_msgs', reason='make builds it')

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402

from vjepa_msgs.msg import Status  # noqa: E402
from vjepa_ros import qos  # noqa: E402
from vjepa_ros.node import VjepaNode  # noqa: E402
from vjepa_ros.spin import end, SpunNode  # noqa: E402

TIMEOUT = 60.0  # [s] an order of magnitude above what anything here takes


def wait_until(condition: Callable[[], object], what: str, timeout: float = TIMEOUT) -> Any:
    """Return the first true value of ``condition``; fail if none comes in time."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f'{what}: not within {timeout:g} s'
        time.sleep(0.01)
    return value


def ros_arguments(folder: Path, parameters: dict[str, dict[str, Any]]) -> list[str]:
    """Return the command line that gives nodes these parameters, written to a file in a folder."""
    if not parameters:
        return ['--ros-args']
    content = {f'/**/{node}': {'ros__parameters': values} for node, values in parameters.items()}
    file = folder / 'parameters.yaml'
    file.write_text(json.dumps(content))
    return ['--ros-args', '--params-file', str(file)]


class Graph:
    """The ROS graph of one test: nodes under test, and an observer that talks to them."""

    wait_until = staticmethod(wait_until)
    ros_arguments = staticmethod(ros_arguments)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[list[SpunNode]] = []
        self._stop = threading.Event()
        self._clients: dict[str, Any] = {}
        self._kept: list[Any] = []

    def begin(self, *remappings: str, **parameters: dict[str, Any]) -> None:
        """Open the graph.

        Args:
            remappings: Rules like ``commander:current_pose:=elsewhere``.
            parameters: What nodes that are started get, by node name.
        """
        rules = [word for rule in remappings for word in ('-r', rule)]
        rclpy.init(args=ros_arguments(self._folder, parameters) + rules)
        self.observer = rclpy.create_node('observer', namespace='vjepa')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.observer)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self.statuses = self.record(Status, 'status', qos.ALL_STATUS)

    def start(self, *nodes: VjepaNode) -> None:
        """Bring nodes up, as their executables do, and spin them until the test ends."""
        for node in reversed(nodes):
            node.begin()
        self._running.append([SpunNode(node) for node in nodes])

    def end(self) -> None:
        """End the nodes under test as their processes do."""
        while self._running:
            end(self._running.pop(0))

    def close(self) -> None:
        """End everything, so that the next test begins with nothing, whatever happens here."""
        try:
            self.end()
        finally:
            self._stop.set()
            if hasattr(self, 'observer'):
                self._thread.join()
                self._executor.shutdown()
                self.observer.destroy_node()
            rclpy.try_shutdown()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    # -- the observer --------------------------------------------------------------------------

    def record(self, message: Any, topic: str, profile: QoSProfile) -> list[Any]:
        """Return a list that grows with every message of a topic."""
        messages: list[Any] = []
        self.observer.create_subscription(message, topic, messages.append, profile)
        return messages

    def publisher(self, message: Any, topic: str, profile: QoSProfile) -> Any:
        """Return a publisher of the observer that already has its subscriber."""
        publisher = self.observer.create_publisher(message, topic, profile)
        wait_until(publisher.get_subscription_count, f'a subscriber of {topic}')
        return publisher

    def call(self, service: Any, name: str, request: Any = None) -> Any:
        """Return the answer of a service."""
        if name not in self._clients:
            self._clients[name] = self.observer.create_client(service, name)
        client = self._clients[name]
        wait_until(client.service_is_ready, f'service {name}')
        future = client.call_async(request or service.Request())
        wait_until(future.done, f'answer of {name}')
        return future.result()

    def send_goal(self, action: Any, name: str, goal: Any) -> Any:
        """Return result and status of an action."""
        # Kept to the end: what is destroyed while its node spins may end the spinning thread
        # (rclpy adds a dead client to the wait set).
        if name not in self._clients:
            self._clients[name] = self._ready_client(action, name)
        client = self._clients[name]
        accepted = client.send_goal_async(goal)
        wait_until(accepted.done, f'acceptance by {name}')
        result = accepted.result().get_result_async()
        wait_until(result.done, f'result of {name}')
        return result.result()

    def _ready_client(self, action: Any, name: str) -> Any:
        """Return a client of an action server, which must be there in time.

        One client in some dozens does not find a server in its own process within a minute, for
        a reason that is not known, so another one is made where one waits for long.
        """
        from rclpy.action import ActionClient

        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            client = ActionClient(self.observer, action, name)
            self._kept.append(client)
            begin = time.monotonic()
            while time.monotonic() < begin + TIMEOUT / 6:
                if client.server_is_ready():
                    return client
                time.sleep(0.01)
        raise AssertionError(f'action {name}: not within {TIMEOUT:g} s')

    def status(self, node: str) -> Status | None:
        """Return the newest status of a node."""
        return next((s for s in reversed(self.statuses) if s.node == node), None)

    def wait_for_status(self, node: str, state: int, reason: str = '') -> Status:
        """Return the status of a node once it is in a state, for a reason that contains a text."""

        def status() -> Status | None:
            now = self.status(node)
            matches = now is not None and now.state == state and reason in now.reason
            return now if matches else None

        try:
            return wait_until(status, f'{node} in state {state} because of {reason!r}')
        except AssertionError as error:
            raise AssertionError(f'{error}; it is {self.status(node)}') from None

    def now(self) -> Any:
        """Return the present time as a stamp."""
        return self.observer.get_clock().now().to_msg()


def make_tiny_model(path: Path) -> Path:
    """Write a model directory of random weights: everything but its predictions is real."""
    from vjepa_planner.networks.checkpoints import save_model_directory
    from vjepa_planner.networks.untrained import make_untrained_networks

    sizes = {'img_size': 32, 'embed_dim': 24, 'depth': 1, 'num_heads': 2}
    networks = make_untrained_networks(
        {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 24}}, seed=0
    )
    planner = {
        'name': 'cem',
        'num_samples': 16,
        'num_iterations': 2,
        'num_elites': 4,
        'max_translation': 0.05,
    }
    extra = {'name': 'tiny', 'image_size': 32, 'ee_frame': 'fr3_hand_tcp', 'planner': planner}
    save_model_directory(path, networks.encoder, networks.predictor, extra)
    return path
