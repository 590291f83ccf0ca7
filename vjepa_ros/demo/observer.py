# SPDX-License-Identifier: Apache-2.0
"""The node ``demo``: listens to the others and calls their services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image as ImageMessage

from vjepa_msgs.msg import Plan, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_planner.types import Image
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.watcher import NodeWatcher
from vjepa_ros.demo.recording import Recording


class ReceivedPlan(NamedTuple):
    """A plan and when it came [ns]."""

    message: Plan
    received: int


class Observer(NodeWatcher):
    """Keeps what the nodes publish.

    Attributes:
        recording: Images and measured positions.
        plans: Plans in the order in which they came.
        executed: Goal and stamp [ns] of each plan that moved the arm.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        """Join the graph; see :class:`NodeWatcher`."""
        self.recording = Recording()
        self.plans: list[ReceivedPlan] = []
        self.executed: list[tuple[str, int]] = []
        super().__init__('demo', check)
        self.subscribe(ImageMessage, 'image', self._on_image, qos.IMAGE)
        self.subscribe(PoseStamped, 'current_pose', self._on_pose, qos.ROBOT_STATE)
        self.subscribe(Plan, 'plan', self._on_plan, qos.RESULT)
        self._set_goal_image = self.client(SetGoalImage, 'set_goal_image')

    def is_connected(self) -> bool:
        """Return whether it hears everything, the first pose of the arm included."""
        return super().is_connected() and self.recording.position is not None

    def set_goal(self, goal: Image | Path, timeout: float) -> str:
        """Set a goal and return its id.

        Args:
            goal: An image, uint8 RGB, which is sent, or the path of a file.
            timeout: Longest wait for the answer [s].

        Raises:
            NodesError: The goal node refuses it, or does not answer.
        """
        if isinstance(goal, Path):
            request = SetGoalImage.Request(path=str(goal.resolve()))
        else:
            image = conversions.image_to_message(goal, self.header())
            request = SetGoalImage.Request(image=image)
        return str(self.call(self._set_goal_image, request, timeout).goal_id)

    # -- what comes in -------------------------------------------------------------------------

    def _on_image(self, message: ImageMessage) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self.recording.add_image(stamp, conversions.image_from_message(message))

    def _on_pose(self, message: PoseStamped) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self.recording.add_position(stamp, conversions.pose_from_message(message)[0])

    def _on_plan(self, message: Plan) -> None:
        self.plans.append(ReceivedPlan(message, self.now()))

    def commander_says(self, message: Status, before: Status | None) -> None:
        """Note which plans move the arm."""
        if message.accepted > (before.accepted if before else 0):
            stamp = conversions.nanoseconds_from_stamp(message.plan_stamp)
            self.executed.append((message.goal_id, stamp))
