# SPDX-License-Identifier: Apache-2.0
"""How targets reach the controller of an arm. A new way is one new file and one line here."""

from __future__ import annotations

from rclpy.node import Node

from vjepa_planner.errors import UnknownNameError
from vjepa_ros.command_interfaces.base import CommandInterface, InterfaceConfig
from vjepa_ros.command_interfaces.crisp import CrispInterface
from vjepa_ros.command_interfaces.joint_trajectory import JointTrajectoryInterface
from vjepa_ros.command_interfaces.pose import PoseInterface
from vjepa_ros.command_interfaces.servo_pose import ServoPoseInterface
from vjepa_ros.command_interfaces.servo_twist import ServoTwistInterface
from vjepa_ros.command_interfaces.twist import TwistInterface
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.parameters import ConfigParameters

__all__ = [
    'CommandInterface',
    'available_command_interfaces',
    'command_message_type',
    'declare_interface_parameters',
    'make_command_interface',
]

_INTERFACES: dict[str, type[CommandInterface]] = {
    'pose': PoseInterface,
    'crisp': CrispInterface,
    'twist': TwistInterface,
    'servo_pose': ServoPoseInterface,
    'servo_twist': ServoTwistInterface,
    'joint_trajectory': JointTrajectoryInterface,
}


def available_command_interfaces() -> tuple[str, ...]:
    """Return the names that :func:`make_command_interface` knows."""
    return tuple(_INTERFACES)


def command_message_type(name: str) -> type:
    """Return the type of the commands of an interface.

    Raises:
        MissingDependencyError: Its package is not installed.
    """
    return _INTERFACES[name].message_type()


def declare_interface_parameters(node: Node, name: str) -> InterfaceConfig:
    """Declare the parameters ``<name>.<setting>`` of an interface and return what they say.

    Raises:
        UnknownNameError: There is no such interface.
        InvalidInputError: A value does not fit.
    """
    if name not in _INTERFACES:
        raise UnknownNameError('command_interface', name, available_command_interfaces())
    return ConfigParameters(node, _INTERFACES[name].config_class(), f'{name}.').value


def make_command_interface(
    node: Node, name: str, base_frame: str, limits: GateConfig
) -> CommandInterface:
    """Return the interface ``name`` with the parameters that ``node`` has for it.

    Args:
        node: The commander.
        name: One of :func:`available_command_interfaces`.
        base_frame: Frame of the targets.
        limits: What no motion may exceed.

    Raises:
        UnknownNameError: There is no such interface.
        InvalidInputError: A parameter does not fit.
        MissingDependencyError: Its messages are not installed.
    """
    config = declare_interface_parameters(node, name)
    return _INTERFACES[name](node, config, base_frame, limits)
