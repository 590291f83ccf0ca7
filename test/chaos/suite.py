# SPDX-License-Identifier: Apache-2.0
"""All nodes as processes, somebody who directs and watches them, and faults between them."""

from __future__ import annotations

from contextlib import ExitStack
import json
import os
from pathlib import Path
import signal
import sys
import threading
import time
from typing import Any

from monitor import CommandMonitor, Limits
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'faults'))

from geometry_msgs.msg import PoseStamped
from proxy import Fault, FaultProxy, PREFIX
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.domain import reserved_domain_id
from vjepa_ros.child_nodes.environment import enter_private_graph
from vjepa_ros.child_nodes.nodes import NODES, Parameters
from vjepa_ros.child_nodes.processes import NodeProcesses

ALL = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=1000
)
"""For who must not miss anything: its own queue is long, whatever the publisher keeps."""

LIMITS = Limits(
    workspace_min=(0.3, -0.3, 0.05),
    workspace_max=(0.7, 0.3, 0.5),
    max_speed=0.25,
    max_acceleration=1.0,
    max_rotation_speed=0.6,
    max_tracking_error=0.1,
)
# Message, topic, quality of service of subscription and publisher of what the proxy passes on.
RELAYED = {
    'image': (Image, 'image', qos.IMAGE, qos.CAMERA),
    'pose': (PoseStamped, 'current_pose', qos.ROBOT_STATE, qos.ROBOT_STATE_SOURCE),
    'joints': (JointState, '/joint_states', qos.ROBOT_STATE, qos.ROBOT_STATE_SOURCE),
    'target': (PoseStamped, 'target_pose', qos.COMMAND, qos.COMMAND),
}
_BEHIND_PROXY = (  # nodes, and what they get through the proxy
    ('encoder', 'image'),
    ('goal', 'image'),
    ('planner', 'current_pose'),
    ('planner', '/joint_states'),
    ('commander', 'current_pose'),
    ('simulator', 'target_pose'),
)
_SILENCE = 1.0  # [s] without a status after which a node is not there


def suite_parameters(model: str, backend: str, mode: str = 'blocking') -> Parameters:
    """Return parameters for this machine, which is busy: ages are longer than the defaults.

    Args:
        model: Name or path of the world model.
        backend: What computes.
        mode: Of the commander.
    """
    networks: dict[str, object] = {'model': model, 'backend': backend, 'device': 'cpu'}
    ages: dict[str, object] = {'image_max_age': 5.0}
    return {
        'simulator': {'image_size': 128, 'image_rate': 5.0},
        'encoder': networks | ages | {'frozen_after': 0.0},
        'goal': ages | {'encode_timeout': 30.0},
        'planner': networks
        | ages
        | {
            'state_max_age': 0.5,
            'answer_timeout': 5.0,
            'wait_for_commander': mode == 'blocking',
        },
        'commander': {
            'mode': mode,
            'gripper': 'none',
            'state_max_age': 0.3,
            'plan_max_age': 10.0,
            'settle_timeout': 5.0,
            'workspace_min': list(LIMITS.workspace_min),
            'workspace_max': list(LIMITS.workspace_max),
            'max_speed': LIMITS.max_speed,
            'max_acceleration': LIMITS.max_acceleration,
            'max_rotation_speed': LIMITS.max_rotation_speed,
            'max_tracking_error': LIMITS.max_tracking_error,
        },
    }


class Suite:
    """The nodes as processes in a graph of their own. As a context it ends them on the way out.

    Attributes:
        monitor: Judges every target.
        processes: Of the nodes.
        plans: When they came, how long they took, and the ages of their images then [s].
        poses: When they came [s] and what they were (3,) [m], of the last seconds.
        image: The newest image message.
        last_target: When the last target came [s]. All times are steady ones.
    """

    def __init__(self, folder: Path, parameters: Parameters, *, faulty: bool) -> None:
        """Start everything.

        Args:
            folder: For logs and parameters.
            parameters: Of the nodes.
            faulty: Whether a proxy stands between simulator and nodes.
        """
        self.monitor = CommandMonitor(LIMITS)
        self.image: Image | None = None
        self.plans: list[tuple[float, float, float]] = []
        self.poses: list[tuple[float, np.ndarray]] = []
        self.last_target = 0.0
        self._statuses: dict[str, tuple[float, Status]] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._arguments = self._write(folder / 'parameters.yaml', parameters, faulty)
        enter_private_graph(self._stack.enter_context(reserved_domain_id()), folder)
        self.processes = self._stack.enter_context(NodeProcesses(folder))
        for name in NODES:
            self.start(name)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._stack.callback(rclpy.try_shutdown)
        self._join()
        self.proxy = FaultProxy() if faulty else None
        if self.proxy is not None:
            for relayed in RELAYED.values():
                self.proxy.relay(*relayed)
            self._spin(self.proxy)

    def __enter__(self) -> Suite:
        """Return itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End everything."""
        self._stack.close()

    # -- processes -----------------------------------------------------------------------------

    @staticmethod
    def _write(file: Path, parameters: Parameters, faulty: bool) -> dict[str, list[str]]:
        """Write the parameters, and return the arguments of each node."""
        content = {f'/**/{node}': {'ros__parameters': one} for node, one in parameters.items()}
        file.write_text(json.dumps(content, indent=1) + '\n')
        arguments = {name: ['--ros-args', '--params-file', str(file)] for name in NODES}
        for node, topic in _BEHIND_PROXY if faulty else ():
            other = f'/{PREFIX}{topic[1:]}' if topic.startswith('/') else PREFIX + topic
            arguments[node] += ['-r', f'{topic}:={other}']
        return arguments

    def start(self, name: str) -> None:
        """Start a node, or start it again."""
        self.processes.start(name, f'vjepa_ros.{name}_node', self._arguments[name], threads=1)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of a node."""
        os.kill(self.processes.pid(name), number)

    def spoil(self, stream: str, fault: Fault) -> None:
        """From now on do this to what passes the proxy; ``passed_on`` heals it."""
        assert self.proxy is not None
        self.proxy.spoil(RELAYED[stream][1], fault)

    # -- what is seen --------------------------------------------------------------------------

    def _join(self) -> None:
        self._node = node = rclpy.create_node('director', namespace='vjepa')
        node.create_subscription(PoseStamped, 'target_pose', self._on_target, ALL)
        node.create_subscription(PoseStamped, 'current_pose', self._on_pose, ALL)
        node.create_subscription(Plan, 'plan', self._on_plan, ALL)
        node.create_subscription(Image, 'image', self._on_image, qos.IMAGE)
        node.create_subscription(Status, 'status', self._on_status, qos.ALL_STATUS)
        self._clients = {
            name: node.create_client(Trigger, name)
            for name in ('start', 'e_stop', 'release_e_stop', 'clear_goal')
        }
        self._goal = node.create_client(SetGoalImage, 'set_goal_image')
        self._spin(node)

    def _spin(self, node: Any) -> None:
        executor, stop = SingleThreadedExecutor(), threading.Event()
        executor.add_node(node)

        def spin() -> None:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)

        thread = threading.Thread(target=spin, name=node.get_name())
        thread.start()
        self._stack.callback(node.destroy_node)
        self._stack.callback(executor.shutdown)
        self._stack.callback(thread.join)
        self._stack.callback(stop.set)  # the first of these

    def _on_target(self, message: PoseStamped) -> None:
        self.last_target = time.monotonic()
        point, turn = message.pose.position, message.pose.orientation
        with self._lock:
            self.monitor.command(
                _seconds(message),
                np.array([point.x, point.y, point.z]),
                np.array([turn.x, turn.y, turn.z, turn.w]),
            )

    def _on_pose(self, message: PoseStamped) -> None:
        position, quaternion = conversions.pose_from_message(message)
        now = time.monotonic()
        with self._lock:
            self.monitor.measure(_seconds(message), position, quaternion)
            self.poses.append((now, position))
            if len(self.poses) > 500:
                del self.poses[:250]

    def _on_plan(self, message: Plan) -> None:
        age = self._node.get_clock().now().nanoseconds * 1e-9 - _seconds(message)
        self.plans.append((time.monotonic(), message.duration, age))

    def _on_image(self, message: Image) -> None:
        self.image = message

    def _on_status(self, message: Status) -> None:
        self._statuses[message.node] = time.monotonic(), message

    def status(self, node: str) -> Status | None:
        """Return the newest status of a node; None if it is silent."""
        when, status = self._statuses.get(node, (0.0, None))
        return status if time.monotonic() - when < _SILENCE else None

    def speed(self) -> float:
        """Return how fast the arm was in the last half second [m/s]; infinite if not measured."""
        with self._lock:
            recent = [one for one in self.poses if time.monotonic() - one[0] < 0.5]
        if len(recent) < 5:
            return float('inf')
        moved = np.linalg.norm(np.ptp([position for _, position in recent], axis=0))
        return float(moved) / (recent[-1][0] - recent[0][0])

    # -- what is done --------------------------------------------------------------------------

    def call(self, name: str, timeout: float = 3.0) -> bool:
        """Call a service of the commander or the goal node and return whether it succeeded."""
        client = self._clients[name]
        return client.service_is_ready() and self._answer(
            client, client.call_async(Trigger.Request()), timeout
        )

    def set_goal(self, pixels: np.ndarray, timeout: float = 10.0) -> bool:
        """Set an image (height, width, 3) as goal and return whether it was taken."""
        if not self._goal.service_is_ready():
            return False
        message = conversions.image_to_message(pixels, Header())
        request = SetGoalImage.Request(image=message)
        return self._answer(self._goal, self._goal.call_async(request), timeout)

    @staticmethod
    def _answer(client: Any, future: Any, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not future.done():
            client.remove_pending_request(future)
            return False
        return bool(future.result().success)

    def pursue(self, pixels: np.ndarray, timeout: float) -> bool:
        """Do what an operator does until a new plan moves the arm; return whether one does.

        Calls ``start`` when the commander is stopped, and sets the goal when there is none.
        """
        deadline = time.monotonic() + timeout
        accepted: int | None = None
        while time.monotonic() < deadline:
            self.processes.check()
            commander, planner = self.status('commander'), self.status('planner')
            if commander is not None:
                if accepted is None or commander.accepted < accepted:
                    accepted = commander.accepted
                elif commander.accepted > accepted:
                    return True
                if commander.state == Status.E_STOPPED:
                    self.call('release_e_stop')
                if commander.state == Status.STOPPED:
                    self.call('start')
            if planner is not None and not planner.goal_id:
                self.set_goal(pixels)
            time.sleep(0.1)
        return False

    def what_nodes_say(self) -> str:
        """Return state and reason of every node."""
        said = {name: self.status(name) for name in NODES}
        return ' '.join(
            f'{name}: {"silent" if one is None else f"{one.state} {one.reason}"}'
            for name, one in said.items()
        )


def _seconds(message: Any) -> float:
    return conversions.nanoseconds_from_stamp(message.header.stamp) * 1e-9
