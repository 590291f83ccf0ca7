# SPDX-License-Identifier: Apache-2.0
"""What both interfaces of MoveIt Servo share: the switch of the command type, and the status."""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Any

from rclpy.node import Node

from vjepa_planner.errors import InvalidInputError
from vjepa_ros import qos
from vjepa_ros.command_interfaces.base import missing_messages
from vjepa_ros.settings import setting

_TICKS_BETWEEN_TRIES = 25  # asking the graph for the service at each would be a waste
_OLD_NEWS = 0.3  # [s] from the start of a motion: a status may still be that of the last one
_HALTED = {
    -1: 'INVALID',
    2: 'HALT_FOR_SINGULARITY',
    5: 'HALT_FOR_COLLISION',
    6: 'JOINT_BOUND',
}
"""Codes of moveit_msgs/ServoStatus with which the arm does not go where it is told to."""


@dataclass(frozen=True, kw_only=True)
class ServoConfig:
    """Names of MoveIt Servo."""

    status_topic: str = setting(
        '/servo_node/status', 'Topic of its moveit_msgs/ServoStatus', read_only=True
    )
    switch_service: str = setting(
        '/servo_node/switch_command_type',
        'Its service that chooses twists or poses',
        read_only=True,
    )


class Servo:
    """Switches Servo to a command type, again whenever it was restarted, and reads its status."""

    def __init__(self, node: Node, config: ServoConfig, interface: str, command_type: str) -> None:
        """Look for Servo.

        Args:
            node: The commander.
            config: Names.
            interface: Name of the command interface.
            command_type: ``'TWIST'`` or ``'POSE'``.

        Raises:
            MissingDependencyError: moveit_msgs is not installed.
        """
        try:
            from moveit_msgs.msg import ServoStatus
            from moveit_msgs.srv import ServoCommandType
        except ImportError as error:
            raise missing_messages(interface, 'moveit_msgs') from error
        self._node = node
        self._command_type = command_type
        self._client = node.create_client(ServoCommandType, config.switch_service)
        self._request = ServoCommandType.Request(
            command_type=getattr(ServoCommandType.Request, command_type)
        )
        self._switched = False
        self._answer: Any = None  # of the call under way
        self._ticks = 0
        self._halt = ''
        self._begin = time.monotonic()  # of the motion
        node.create_subscription(
            ServoStatus,
            config.status_topic,
            self._on_status,
            qos.ROBOT_STATE,
            qos_overriding_options=qos.OVERRIDABLE,
        )

    def check(self) -> None:
        """Raise if Servo does not take the commands yet.

        Raises:
            InvalidInputError: It was not switched to their type.
        """
        if not self._switched:
            raise InvalidInputError(
                f'MoveIt Servo was not switched to {self._command_type} yet: is it running, and '
                f'is its service {self._client.srv_name}?'
            )

    def update(self, moving: bool) -> str:
        """Switch Servo if that is still to be done; call it at every tick.

        Args:
            moving: Whether the arm is on a motion.

        Returns:
            Why Servo does not carry out the motion; empty if it does.
        """
        self._switch()
        if not moving:
            self._halt, self._begin = '', time.monotonic()
        return self._halt

    def _switch(self) -> None:
        self._ticks += 1
        if self._ticks % _TICKS_BETWEEN_TRIES != 1:
            return
        if not self._client.service_is_ready():
            self._switched, self._answer = False, None  # a new Servo begins with its own type
        elif not self._switched and self._answer is None:
            self._answer = self._client.call_async(self._request)
            self._answer.add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:  # noqa: ANN401 - of the service
        if future is not self._answer:
            return
        self._switched, self._answer = bool(future.result().success), None
        if not self._switched:
            self._node.get_logger().error(
                f'MoveIt Servo refused to be switched to {self._command_type}',
                throttle_duration_sec=5.0,
            )

    def _on_status(self, message: Any) -> None:  # noqa: ANN401 - the package may be missing
        if message.code in _HALTED and time.monotonic() - self._begin > _OLD_NEWS:
            self._halt = f'MoveIt Servo: {_HALTED[message.code]} {message.message}'.strip()
