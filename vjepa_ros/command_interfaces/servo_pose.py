# SPDX-License-Identifier: Apache-2.0
"""Poses for MoveIt Servo. It stops by itself when they stop coming or are old."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from vjepa_ros.command_interfaces.pose import PoseConfig, PoseInterface
from vjepa_ros.command_interfaces.servo import Servo, ServoConfig
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Pose, Velocity
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class ServoPoseConfig(ServoConfig, PoseConfig):
    """Names of MoveIt Servo, for poses."""

    topic: str = setting(
        '/servo_node/pose_target_cmds', "Topic of Servo's pose targets", read_only=True
    )


class ServoPoseInterface(PoseInterface):
    """Streams targets while the arm moves, the last one too until the arm is there."""

    config_class = ServoPoseConfig

    def __init__(
        self, node: Node, config: ServoPoseConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Look for Servo.

        Raises:
            MissingDependencyError: moveit_msgs is not installed.
        """
        self._servo = Servo(node, config, 'servo_pose', 'POSE')
        super().__init__(node, config, base_frame, limits)
        self._target: Pose | None = None

    def check(self, measured: Pose | None) -> None:
        """Raise if Servo does not take poses, see the base class."""
        super().check(measured)
        self._servo.check()

    def update(self, measured: Pose | None, moving: bool) -> str:
        """Send the target again with the stamp of now, see the base class."""
        halt = self._servo.update(moving)
        if not moving:
            self._target = None
        elif self._target is not None:
            self._publish(self._target)
        return super().update(measured, moving) or halt

    def _send(self, target: Pose, velocity: Velocity) -> None:
        del velocity
        self._target = target
