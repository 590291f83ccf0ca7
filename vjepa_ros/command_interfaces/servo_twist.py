# SPDX-License-Identifier: Apache-2.0
"""Velocities for MoveIt Servo, whose ``command_in_type`` must be ``speed_units``."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from vjepa_ros.command_interfaces.servo import Servo, ServoConfig
from vjepa_ros.command_interfaces.twist import TwistConfig, TwistInterface
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Pose
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class ServoTwistConfig(ServoConfig, TwistConfig):
    """Names of MoveIt Servo, for velocities."""

    topic: str = setting(
        '/servo_node/delta_twist_cmds', "Topic of Servo's velocities", read_only=True
    )


class ServoTwistInterface(TwistInterface):
    """Streams velocities while the arm moves; Servo stops by itself when they stop coming."""

    config_class = ServoTwistConfig

    def __init__(
        self, node: Node, config: ServoTwistConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Look for Servo.

        Raises:
            MissingDependencyError: moveit_msgs is not installed.
        """
        self._servo = Servo(node, config, 'servo_twist', 'TWIST')
        super().__init__(node, config, base_frame, limits)

    def check(self, measured: Pose | None) -> None:
        """Raise if Servo does not take velocities, see the base class."""
        super().check(measured)
        self._servo.check()

    def update(self, measured: Pose | None, moving: bool) -> str:
        """Send the velocity of now, see the base class."""
        halt = self._servo.update(moving)
        return super().update(measured, moving) or halt
