# SPDX-License-Identifier: Apache-2.0
"""A node that listens to whatever runs, whoever publishes it, with whichever QoS."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import GetParameters
from rclpy.action.graph import get_action_names_and_types
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import JointState

from vjepa_msgs.msg import Status
from vjepa_ros import conversions, qos
from vjepa_ros.doctor.config import DoctorConfig
from vjepa_ros.image_input import image_topic, RAW
from vjepa_ros.samples import Arrivals, Samples

NODES = ('encoder', 'goal', 'planner', 'commander')
_QUIET = 1.0  # [s] without a new node after which all are taken to be discovered
_DISCOVERY = 5.0  # [s] at most, and at least if one of our nodes is missing
_ANSWER_TIMEOUT = 2.0  # [s]
_ANYTHING = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE, depth=5
)


class Stream:
    """What came on one topic.

    Attributes:
        topic: Its name.
        newest: The newest message; None if none came.
        arrivals: When.
        ages: Of the header stamps, by the clock of the machine [s].
    """

    def __init__(self, topic: str) -> None:
        """Begin without a message."""
        self.topic = topic
        self.newest: Any = None
        self.arrivals = Arrivals()
        self.ages = Samples()
        self._rate = 0.0

    def take(self, message: Any, now: int) -> None:  # noqa: ANN401 - any type with a header
        """Take a message at this time [ns]."""
        self.newest = message
        self.arrivals.add(time.monotonic())
        self.ages.add((now - conversions.nanoseconds_from_stamp(message.header.stamp)) / 1e9)
        self._rate = self.arrivals.rate(time.monotonic())

    @property
    def rate(self) -> float:
        """How many came per second [Hz], as of the last one."""
        return self._rate


class Listener:
    """Gathers what the graph says. A context of rclpy of its own, so that others go on.

    Attributes:
        config: What it looks at.
        statuses: The newest of each of our nodes, by node name.
        diagnostics: The newest by name.
        image, pose, joints: What came.
        target_topic: Of the commands.
    """

    def __init__(self, config: DoctorConfig) -> None:
        """Join the graph and find the names that the running nodes use."""
        self.config = config
        self._context = Context()
        self._context.init()
        self.node = Node('doctor', namespace=config.namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.statuses: dict[str, Status] = {}
        self.diagnostics: dict[str, DiagnosticStatus] = {}

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
        self.node.destroy_node()
        self._context.try_shutdown()

    # -- listening -----------------------------------------------------------------------------

    def listen(self) -> None:
        """Find the topics, and take what comes for as long as the config says."""
        self._discover()
        config = self.config
        transport = self.parameter('encoder', 'image_transport') or RAW
        kind, default = image_topic(self.node, transport)
        image = config.image_topic or self._used_by('encoder', kind, default)
        pose = config.pose_topic or self._used_by('planner', PoseStamped, 'current_pose')
        joints = self._used_by('planner', JointState, '/joint_states')
        self.target_topic = self.node.resolve_topic_name(
            config.target_topic or self._published_by('commander', PoseStamped, 'target_pose')
        )
        self.image = self._stream(kind, image)
        self.pose = self._stream(PoseStamped, pose)
        self.joints = self._stream(JointState, joints)
        self.node.create_subscription(Status, 'status', self._on_status, qos.ALL_STATUS)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.spin(config.seconds)

    def spin(self, seconds: float) -> None:
        """Take what comes for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _discover(self) -> None:
        """Return when no more nodes appear; on a busy machine that takes a while."""
        begin = changed = time.monotonic()
        known: list[tuple[str, str]] = []
        ours = {(name, self.namespace) for name in NODES}
        while (now := time.monotonic()) - begin < _DISCOVERY and not (
            now - changed > _QUIET and ours.issubset(known)
        ):
            self.spin(0.2)
            if (found := sorted(self.node.get_node_names_and_namespaces())) != known:
                known, changed = found, time.monotonic()

    def _stream(self, message: type, topic: str) -> Stream:
        stream = Stream(self.node.resolve_topic_name(topic))
        clock = self.node.get_clock()
        self.node.create_subscription(
            message, topic, lambda got: stream.take(got, clock.now().nanoseconds), _ANYTHING
        )
        return stream

    def _on_status(self, message: Status) -> None:
        self.statuses[message.node] = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics |= {status.name: status for status in message.status}

    # -- the graph -----------------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        """Of our nodes, absolute."""
        return self.node.get_namespace()

    def nodes(self, name: str) -> list[str]:
        """Return the namespaces in which there is a node of this name."""
        return [space for one, space in self.node.get_node_names_and_namespaces() if one == name]

    def actions(self) -> set[str]:
        """Return the names of all actions of the graph."""
        return {name for name, _ in get_action_names_and_types(self.node)}

    def publishers(self, topic: str) -> list[TopicEndpointInfo]:
        """Return who publishes a topic."""
        return list(self.node.get_publishers_info_by_topic(topic))

    def subscribers(self, topic: str) -> list[TopicEndpointInfo]:
        """Return who listens to a topic, but for this node."""
        found = self.node.get_subscriptions_info_by_topic(topic)
        return [one for one in found if one.node_name != self.node.get_name()]

    def parameter(self, node: str, name: str) -> Any:  # noqa: ANN401 - of any type
        """Return a parameter of one of our nodes; None if there is none, or no answer."""
        if self.namespace not in self.nodes(node):
            return None
        client = self.node.create_client(GetParameters, f'{node}/get_parameters')
        if not client.wait_for_service(_ANSWER_TIMEOUT):
            return None
        answer = self.answer(client, GetParameters.Request(names=[name]))
        if answer is None or not answer.values:
            return None
        from rclpy.parameter import parameter_value_to_python

        return parameter_value_to_python(answer.values[0])

    def answer(self, client: Any, request: Any) -> Any:  # noqa: ANN401 - any service
        """Return the answer of a service; None if it does not come."""
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, _ANSWER_TIMEOUT)
        return future.result() if future.done() else None

    def _used_by(self, node: str, message: type, default: str) -> str:
        """Return the topic of this type that one of our nodes listens to."""
        if self.namespace not in self.nodes(node):
            return default
        found = self.node.get_subscriber_names_and_types_by_node(node, self.namespace)
        return _only(found, message, default)

    def _published_by(self, node: str, message: type, default: str) -> str:
        """Return the topic of this type that one of our nodes publishes."""
        if self.namespace not in self.nodes(node):
            return default
        found = self.node.get_publisher_names_and_types_by_node(node, self.namespace)
        return _only(found, message, default)


def _only(found: list[tuple[str, list[str]]], message: type, default: str) -> str:
    """Return the topic of a type, or the default if there is not exactly one."""
    name = f'{message.__module__.split(".")[0]}/msg/{message.__name__}'
    topics = [topic for topic, types in found if name in types]
    return topics[0] if len(topics) == 1 else default
