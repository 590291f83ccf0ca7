# SPDX-License-Identifier: Apache-2.0
"""Poses on a plain topic: for any controller that follows the newest ``PoseStamped``."""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped

from vjepa_ros import conversions
from vjepa_ros.command_interfaces.base import CommandInterface, InterfaceConfig
from vjepa_ros.motion import Pose, Velocity
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class PoseConfig(InterfaceConfig):
    """Where the poses go."""

    topic: str = setting(
        'target_pose', 'Topic of the poses, in the frame base_frame', read_only=True
    )


class PoseInterface(CommandInterface):
    """Publishes every target. The controller stays at the last one when no more come."""

    config_class = PoseConfig

    @classmethod
    def message_type(cls) -> type:
        """Return the type of the commands."""
        return PoseStamped

    def _send(self, target: Pose, velocity: Velocity) -> None:
        del velocity
        self._publish(target)

    def _hold(self, pose: Pose) -> None:
        self._publish(pose)

    def _publish(self, pose: Pose) -> None:
        self._publisher.publish(
            conversions.pose_to_message(pose.position, pose.quaternion, self._header())
        )
