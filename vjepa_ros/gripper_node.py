# SPDX-License-Identifier: Apache-2.0
"""The node ``gripper``: the actions of a Franka Hand where no driver offers them.

For Gazebo and mock hardware; a real arm has the node of franka_gripper.

Several threads of the executor: the actions wait for the gripper.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from vjepa_msgs.msg import Status
from vjepa_ros.finger_controller import FingerController, FingerControllerConfig
from vjepa_ros.gripper_server import GripperServer
from vjepa_ros.node import VjepaNode
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.spin import run

_LOOK_PERIOD = 0.5  # [s]


@dataclass(frozen=True, kw_only=True)
class GripperNodeConfig:
    """Where the actions are."""

    gripper_namespace: str = setting(
        'franka_gripper', 'Where the actions of the gripper are', read_only=True
    )


class GripperNode(VjepaNode):
    """Serves the actions of a Franka Hand with the fingers of a position controller."""

    threads = 4  # joint states and `stop`, and three actions at once

    def __init__(self) -> None:
        """Offer the actions; they fail until the fingers are measured."""
        super().__init__('gripper')
        config: GripperNodeConfig = ConfigParameters(self, GripperNodeConfig()).value
        joints: FingerControllerConfig = ConfigParameters(self, FingerControllerConfig()).value
        self._fingers = FingerController(self, joints)
        self._server = GripperServer(self, self._fingers, config.gripper_namespace)
        self.create_timer(_LOOK_PERIOD, self._look)
        self.status.update(state=Status.WAITING, reason=self._fingers.what_is_missing())

    def _look(self) -> None:
        if not math.isnan(self._fingers.gripper_width()):
            self.status.update(state=Status.IDLE, reason='')


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [GripperNode()])
