# SPDX-License-Identifier: Apache-2.0
"""An arm that the observer of a test plays: it is at once where it is told to go."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
import numpy as np
from std_msgs.msg import Header

from vjepa_msgs.msg import Plan, Status
from vjepa_planner import geometry
from vjepa_ros import conversions, qos

# The machine of a test may be slow: limits that are about time are tested without ROS.
PATIENT = {
    'gripper': 'none',
    'state_max_age': 2.0,
    'plan_max_age': 20.0,
    'max_tracking_error': 0.2,
}
HOME = np.array([0.45, 0.0, 0.25, np.pi, 0.0, 0.0, 0.0])


class Arm:
    """An ideal arm on the graph, which measures its pose 50 times per second."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.position = HOME[:3]
        self.quaternion = geometry.euler_to_quaternion_xyzw(HOME[3:6])
        self.targets = graph.record(PoseStamped, 'target_pose', qos.COMMAND)
        self._poses = graph.publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
        self._plans = graph.publisher(Plan, 'plan', qos.RESULT)
        self.timer = graph.observer.create_timer(0.02, self.measure)

    def measure(self) -> None:
        if self.targets:
            self.position, self.quaternion = conversions.pose_from_message(self.targets[-1])
        header = Header(stamp=self.graph.now(), frame_id='fr3_link0')
        self._poses.publish(conversions.pose_to_message(self.position, self.quaternion, header))

    def wait_for_rest(self, state: int = Status.IDLE) -> None:
        """Wait until the commander is in a state and would take a plan from an image of now."""
        self.graph.wait_until(
            lambda: self.graph.wait_for_status('commander', state).settled.sec, 'rest'
        )

    def plan(self, *translation: float, **changes: object) -> None:
        """Send a plan from a fresh image; ``changes`` replace fields of the message."""
        state = conversions.state_from_pose(self.position, self.quaternion, 0.0)
        message = Plan(horizon=1, actions=[*translation, 0.0, 0.0, 0.0, 0.0], state=state)
        message.header = Header(stamp=self.graph.now(), frame_id='fr3_link0')
        for name, value in changes.items():
            setattr(message, name, value)
        self._plans.publish(message)
