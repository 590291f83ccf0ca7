# SPDX-License-Identifier: Apache-2.0
"""Poses for the ``CartesianController`` of CRISP (crisp_controllers).

What its sources say (August 2025): it takes ``target_pose`` in the namespace of the controller
manager, whatever the stamp; it takes the numbers as poses in the root of the robot description and
mostly ignores the frame's name, though some forks refuse any but their ``base_frame``; it keeps
the last target for ever; and it drops all targets while there is a second publisher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.command_interfaces.pose import PoseConfig, PoseInterface
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Pose, quaternion_product
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class CrispConfig(PoseConfig):
    """Where the poses go, and in which frame CRISP takes them."""

    topic: str = setting(
        '/target_pose', 'Topic of the poses; /<namespace>/target_pose on some', read_only=True
    )
    frame_id: str = setting(
        'base', "Name of the frame that is sent: the controller's base_frame", read_only=True
    )
    base_in_root: tuple[float, ...] = setting(
        (0.0,) * 6,
        'Where base_frame is in the root of the robot description: x y z [m] and extrinsic xyz '
        'Euler angles [rad]',
        read_only=True,
    )

    def __post_init__(self) -> None:
        """Check the frame.

        Raises:
            InvalidInputError: It is not six finite numbers.
        """
        if len(self.base_in_root) != 6 or not np.isfinite(self.base_in_root).all():
            raise InvalidInputError(
                f'base_in_root must be six finite numbers, got {list(self.base_in_root)}.'
            )


class CrispInterface(PoseInterface):
    """Publishes every target in the frame that CRISP takes it in."""

    config_class = CrispConfig
    _config: CrispConfig

    def __init__(
        self, node: Node, config: CrispConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Create the publisher of poses."""
        super().__init__(node, config, base_frame, limits)
        self._origin = np.array(config.base_in_root[:3])
        self._rotation = geometry.euler_to_matrix(config.base_in_root[3:])
        self._quaternion = geometry.euler_to_quaternion_xyzw(config.base_in_root[3:])

    def _publish(self, pose: Pose) -> None:
        super()._publish(
            Pose(
                self._origin + self._rotation @ pose.position,
                quaternion_product(self._quaternion, pose.quaternion),
            )
        )

    def _header(self) -> Header:
        header = super()._header()
        header.frame_id = self._config.frame_id
        return header
