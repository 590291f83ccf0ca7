# SPDX-License-Identifier: Apache-2.0
"""What the commander needs of a way to command an arm, whatever its controller takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from builtin_interfaces.msg import Time
from rclpy.node import Node
from std_msgs.msg import Header

from vjepa_planner.errors import InvalidInputError, MissingDependencyError
from vjepa_ros import qos
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Pose, Velocity


@dataclass(frozen=True, kw_only=True)
class InterfaceConfig:
    """Settings of an interface, which become the parameters ``<name of the interface>.<field>``.

    Attributes:
        topic: Where its commands go.
    """

    topic: str


class CommandInterface(ABC):
    """Brings targets to the controller of an arm, on one topic of which it is the only publisher.

    The gate decides where the arm goes. An interface only says it in the words of a controller:
    it adds no motion of its own, and what it cannot say is a reason to hold.

    Attributes:
        config_class: Its settings.
        limits: What no motion may exceed, and how old measurements may be; replaced when the
            commander's parameters change.
        stamp: Of the tick at hand, which commands are meant for however late they leave; None
            between ticks: then they are of now.
    """

    config_class: ClassVar[type[InterfaceConfig]]

    def __init__(
        self, node: Node, config: InterfaceConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Create the publisher.

        Args:
            node: The commander.
            config: Of the class ``config_class``.
            base_frame: Frame of the targets.
            limits: What no motion may exceed.

        Raises:
            MissingDependencyError: The package of the messages is not installed.
        """
        self.limits = limits
        self.stamp: Time | None = None
        self._node = node
        self._config = config
        self._base_frame = base_frame
        self._trouble = ''
        self._publisher = node.create_publisher(
            self.message_type(), config.topic, qos.COMMAND, qos_overriding_options=qos.OVERRIDABLE
        )

    @classmethod
    @abstractmethod
    def message_type(cls) -> type:
        """Return the type of the commands.

        Raises:
            MissingDependencyError: Its package is not installed.
        """

    @property
    def topic(self) -> str:
        """The topic of the commands, as it is after remapping."""
        return str(self._publisher.topic_name)

    def check(self, measured: Pose | None) -> None:  # noqa: B027 - most have nothing to check
        """Raise if no motion may begin now.

        Args:
            measured: The measured pose of the arm, if there is one.

        Raises:
            InvalidInputError: What is missing or does not fit.
        """

    def check_listener(self) -> None:
        """Raise if nobody listens to the commands.

        Raises:
            InvalidInputError: There is no subscriber.
        """
        if self._publisher.get_subscription_count() == 0:
            raise InvalidInputError(
                f'nobody listens to {self.topic}: is the controller of the arm active, and is the '
                'topic right?'
            )

    def send(self, target: Pose, velocity: Velocity) -> None:
        """Tell where the arm shall be now, and how fast it shall be moving there.

        What cannot be told is not told; :meth:`update` then returns why.
        """
        if target.is_valid() and velocity.is_valid():
            self._send(target, velocity)
        else:
            self._trouble = 'the target contains NaN or infinity, or is no rotation'

    def hold(self, pose: Pose) -> None:
        """Tell the arm to stay where it is.

        Args:
            pose: Where it was measured last.
        """
        if pose.is_valid():
            self._hold(pose)
        else:
            self._node.get_logger().error('a pose that contains NaN or infinity cannot be held')

    def update(self, measured: Pose | None, moving: bool) -> str:
        """Let time pass; called at every tick of the commander, after the target of the tick.

        Args:
            measured: The measured pose of the arm, if there is one.
            moving: Whether the arm is on a motion.

        Returns:
            Why it must hold; empty if nothing is wrong.
        """
        del measured, moving
        trouble, self._trouble = self._trouble, ''
        return trouble

    @abstractmethod
    def _send(self, target: Pose, velocity: Velocity) -> None:
        """Send, see :meth:`send`; there is neither NaN nor infinity in it."""

    @abstractmethod
    def _hold(self, pose: Pose) -> None:
        """Hold, see :meth:`hold`; there is neither NaN nor infinity in it."""

    def _header(self) -> Header:
        stamp = self.stamp or self._node.get_clock().now().to_msg()
        return Header(stamp=stamp, frame_id=self._base_frame)


def missing_messages(interface: str, package: str) -> MissingDependencyError:
    """Return the error of an interface whose messages are not installed."""
    return MissingDependencyError(
        f'the command interface {interface} needs the ROS package {package}, which is not '
        f'installed. Install it (ros-jazzy-{package.replace("_", "-")}), or set the parameter '
        'command_interface to another one.'
    )
