# SPDX-License-Identifier: Apache-2.0
"""The node ``demo``: listens to the others and calls their services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time
from types import TracebackType
from typing import Any, NamedTuple

from geometry_msgs.msg import PoseStamped
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_planner.types import Image
from vjepa_ros import conversions, qos
from vjepa_ros.demo.errors import DemoError
from vjepa_ros.demo.recording import Recording
from vjepa_ros.node import NAMESPACE

COMMANDER = 'commander'
_LATENCY = 0.05  # [s] at most until a change of the display


class ReceivedPlan(NamedTuple):
    """A plan and when it came [ns]."""

    message: Plan
    received: int


class Observer:
    """Keeps what the nodes publish. Everything happens in :meth:`spin`, on the caller's thread.

    Attributes:
        recording: Images and measured positions.
        statuses: The newest status of each node.
        plans: Plans in the order in which they came.
        executed: Goal and stamp [ns] of each plan that moved the arm.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        """Join the graph.

        Args:
            check: Called regularly; what it raises ends whatever is waited for.
        """
        self._check = check
        self.recording = Recording()
        self.statuses: dict[str, Status] = {}
        self.plans: list[ReceivedPlan] = []
        self.executed: list[tuple[str, int]] = []
        # Ctrl-C is the business of this process, not of rclpy: the nodes are to be ended in order.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('demo', namespace=NAMESPACE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        subscribe = self._node.create_subscription
        self._subscriptions = (
            subscribe(ImageMessage, 'image', self._on_image, qos.IMAGE),
            subscribe(PoseStamped, 'current_pose', self._on_pose, qos.ROBOT_STATE),
            subscribe(Plan, 'plan', self._on_plan, qos.RESULT),
            subscribe(Status, 'status', self._on_status, qos.ALL_STATUS),
        )
        self._set_goal_image = self._node.create_client(SetGoalImage, 'set_goal_image')
        self._stop = self._node.create_client(Trigger, 'stop')

    def __enter__(self) -> Observer:
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

    def now(self) -> int:
        """Return the present time of the stamps' clock [ns]."""
        return int(self._node.get_clock().now().nanoseconds)

    def spin(self) -> None:
        """Take what has come, or wait for it for a moment."""
        self._executor.spin_once(timeout_sec=_LATENCY)
        self._check()

    def is_connected(self) -> bool:
        """Return whether every topic has its source and every service its server."""
        return (
            all(subscription.get_publisher_count() for subscription in self._subscriptions)
            and self._set_goal_image.service_is_ready()
            and self._stop.service_is_ready()
        )

    # -- services ------------------------------------------------------------------------------

    def set_goal(self, goal: Image | Path, timeout: float) -> str:
        """Set a goal and return its id.

        Args:
            goal: An image, uint8 RGB, which is sent, or the path of a file.
            timeout: Longest wait for the answer [s].

        Raises:
            DemoError: The goal node refuses it, or does not answer.
        """
        if isinstance(goal, Path):
            request = SetGoalImage.Request(path=str(goal.resolve()))
        else:
            header = Header(stamp=self._node.get_clock().now().to_msg())
            request = SetGoalImage.Request(image=conversions.image_to_message(goal, header))
        answer = self._call(self._set_goal_image, request, timeout)
        return str(answer.goal_id)

    def stop(self, timeout: float) -> None:
        """Tell the commander to hold the arm.

        Raises:
            DemoError: It does not answer.
        """
        self._call(self._stop, Trigger.Request(), timeout)

    def _call(self, client: Any, request: Any, timeout: float) -> Any:  # noqa: ANN401 - any service
        future = client.call_async(request)
        deadline = time.monotonic() + timeout
        while not future.done():
            self.spin()
            if time.monotonic() > deadline:
                raise DemoError(f'{client.service_name} did not answer within {timeout:g} s.')
        answer = future.result()
        if not answer.success:
            raise DemoError(f'{client.service_name} refused: {answer.message}')
        return answer

    # -- what comes in -------------------------------------------------------------------------

    def _on_image(self, message: ImageMessage) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self.recording.add_image(stamp, conversions.image_from_message(message))

    def _on_pose(self, message: PoseStamped) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self.recording.add_position(stamp, conversions.pose_from_message(message)[0])

    def _on_plan(self, message: Plan) -> None:
        self.plans.append(ReceivedPlan(message, self.now()))

    def _on_status(self, message: Status) -> None:
        before = self.statuses.get(message.node)
        self.statuses[message.node] = message
        if message.node == COMMANDER and message.accepted > (before.accepted if before else 0):
            stamp = conversions.nanoseconds_from_stamp(message.plan_stamp)
            self.executed.append((message.goal_id, stamp))
