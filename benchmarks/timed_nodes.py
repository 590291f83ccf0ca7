# SPDX-License-Identifier: Apache-2.0
"""The processes that benchmarks/command_latency.py starts: real nodes with a stopwatch, a relay.

The stopwatch is around the calls of the model and of the planner, and at what the commander takes
and sends. All processes of a machine have the same steady clock, so their times compare.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
import json
from pathlib import Path
import sys
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from vjepa_planner import ModelPredictiveController
from vjepa_planner.robots import fr3
from vjepa_ros import conversions, qos
from vjepa_ros.command_gate import CommandGate, PlannedStep
from vjepa_ros.command_interfaces.pose import PoseInterface
from vjepa_ros.node import VjepaNode
from vjepa_ros.spin import run

ARM_PERIOD = 0.02  # [s] between two measured poses
START = (0.5, 0.0, 0.3)  # [m]


class Stopwatch:
    """Notes when what happened, for an image of which stamp: ``[name, stamp, begin, end]``.

    Stamps are in nanoseconds, begin and end are steady times in seconds.
    """

    def __init__(self) -> None:
        """Begin without records."""
        self.records: list[tuple[str, int, float, float]] = []
        self._last = (0.0, 0.0)

    def around(self, owner: type, name: str) -> None:
        """Take the time of every call of a method."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: object, **options: object) -> object:
            begin = time.monotonic()
            result = original(*arguments, **options)
            self._last = begin, time.monotonic()
            return result

        setattr(owner, name, timed)

    def at_message(self, name: str, function: str) -> None:
        """Note the last time under the stamp of the header that a conversion is called with."""
        original: Callable[..., Any] = getattr(conversions, function)

        def noting(*arguments: Any) -> object:  # noqa: ANN401 - those of the conversion
            stamp = conversions.nanoseconds_from_stamp(arguments[-1].stamp)
            self.records.append((name, stamp, *self._last))
            return original(*arguments)

        setattr(conversions, function, noting)

    def at_commander(self) -> None:
        """Note which plan the gate takes when, and when each target is sent."""
        submit, publish = CommandGate.submit, PoseInterface._publish

        def noting_submit(gate: CommandGate, step: PlannedStep, now: int) -> bool:
            begin = time.monotonic()
            taken = submit(gate, step, now)
            if taken:
                self.records.append(('taken', step.stamp, begin, time.monotonic()))
            return taken

        def noting_publish(interface: PoseInterface, pose: Any) -> None:  # noqa: ANN401
            begin = time.monotonic()
            publish(interface, pose)
            self.records.append(('sent', 0, begin, time.monotonic()))

        CommandGate.submit, PoseInterface._publish = noting_submit, noting_publish

    def write(self, file: Path) -> None:
        """Write all records as JSON."""
        file.write_text(json.dumps(self.records))


class ArmNode(VjepaNode):
    """An arm that is at once where it was sent, and says so 50 times per second."""

    def __init__(self) -> None:
        """Begin at the start pose, gripper pointing down."""
        super().__init__('arm')
        self._pose = PoseStamped()
        position = self._pose.pose.position
        position.x, position.y, position.z = START
        self._pose.pose.orientation.x, self._pose.pose.orientation.w = 1.0, 0.0
        self._poses = self.create_publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
        self._joints = self.create_publisher(JointState, 'joint_states', qos.ROBOT_STATE_SOURCE)
        self.create_subscription(PoseStamped, 'target_pose', self._obey, qos.COMMAND)
        self.create_timer(ARM_PERIOD, self._measure)

    def _obey(self, message: PoseStamped) -> None:
        self._pose = message

    def _measure(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=fr3.BASE_FRAME)
        self._poses.publish(PoseStamped(header=header, pose=self._pose.pose))
        fingers = [fr3.MAX_GRIPPER_WIDTH / 2.0] * 2
        self._joints.publish(
            JointState(header=header, name=list(fr3.FINGER_JOINT_NAMES), position=fingers)
        )


def relay() -> int:
    """Run the least that a node can do: take an image, send its header on."""
    rclpy.init()
    node = Node('relay', namespace='vjepa')
    answers = node.create_publisher(Header, 'relay/answer', qos.COMMAND)
    node.create_subscription(
        Image, 'relay/image', lambda image: answers.publish(image.header), qos.IMAGE
    )
    with suppress(KeyboardInterrupt):
        rclpy.spin(node)
    return 0


def main() -> int:
    """Run ``NAME FILE`` of the command line and write what the stopwatch says to the file."""
    name, file = sys.argv[3], Path(sys.argv[4])
    if name == 'relay':
        return relay()
    if name == 'arm':
        return run(lambda: [ArmNode()])
    watch = Stopwatch()
    if name in ('encoder', 'planner', 'composed'):
        from vjepa_planner.backends.torch_backend import TorchBackend

        watch.around(TorchBackend, 'encode')
        watch.at_message('encode', 'embedding_to_message')
        watch.around(ModelPredictiveController, 'plan')
        watch.at_message('plan', 'plan_to_message')
    watch.at_commander()
    module = 'vjepa_ros.composed' if name == 'composed' else f'vjepa_ros.{name}_node'
    code = int(import_module(module).main())
    watch.write(file)
    return code
