# SPDX-License-Identifier: Apache-2.0
"""Velocities on a plain topic: for controllers that take a ``TwistStamped`` and have a watchdog.

The velocity is that of the motion, plus a small share of what the measured pose is off. While
nothing moves nothing is published, so a controller without a watchdog must not be driven by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.node import Node

from vjepa_ros import conversions
from vjepa_ros.command_interfaces.base import CommandInterface, InterfaceConfig
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Float64Array, Pose, Velocity
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class TwistConfig(InterfaceConfig):
    """Where the velocities go, and how errors of the measured pose are corrected."""

    topic: str = setting(
        'target_twist',
        'Topic of the velocities, about the axes of base_frame [m/s, rad/s]',
        read_only=True,
    )
    gain: float = setting(
        2.0,
        'Share of the error of the measured pose that is corrected per second [1/s]',
        minimum=0.0,
        maximum=20.0,
        read_only=True,
    )
    max_correction_speed: float = setting(
        0.05,
        'Largest speed of the correction [m/s]',
        minimum=0.0,
        maximum=0.25,
        read_only=True,
    )
    max_correction_rotation_speed: float = setting(
        0.2,
        'Largest rotation speed of the correction [rad/s]',
        minimum=0.0,
        maximum=0.6,
        read_only=True,
    )


class TwistInterface(CommandInterface):
    """Streams velocities while the arm moves, and one of zero when it shall stop."""

    config_class = TwistConfig
    _config: TwistConfig

    def __init__(
        self, node: Node, config: TwistConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Create the publisher of velocities."""
        super().__init__(node, config, base_frame, limits)
        self._wanted: tuple[Pose, Velocity] | None = None
        self._streaming = False

    @classmethod
    def message_type(cls) -> type:
        """Return the type of the commands."""
        return TwistStamped

    def update(self, measured: Pose | None, moving: bool) -> str:
        """Send the velocity of now, see the base class."""
        if not moving:
            self._stop()
        elif self._wanted is not None and measured is not None:
            self._publish(self._velocity(measured, *self._wanted))
            self._streaming = True
        return super().update(measured, moving)

    def _send(self, target: Pose, velocity: Velocity) -> None:
        self._wanted = target, velocity

    def _hold(self, pose: Pose) -> None:
        del pose
        self._stop()

    def _stop(self) -> None:
        if self._streaming:
            self._publish(Velocity.zero())
        self._wanted, self._streaming = None, False

    def _velocity(self, measured: Pose, target: Pose, velocity: Velocity) -> Velocity:
        """Return the velocity that follows the motion and corrects the error, within limits."""
        config, limits = self._config, self.limits
        error = config.gain * (target.position - measured.position)
        turn = config.gain * measured.turn_to(target)
        linear = velocity.linear + _shortened(error, config.max_correction_speed)
        angular = velocity.angular + _shortened(turn, config.max_correction_rotation_speed)
        return Velocity(
            _shortened(linear, limits.max_speed), _shortened(angular, limits.max_rotation_speed)
        )

    def _publish(self, velocity: Velocity) -> None:
        self._publisher.publish(conversions.velocity_to_message(velocity, self._header()))


def _shortened(vector: Float64Array, length: float) -> Float64Array:
    """Return the vector, or one of this length if it is longer."""
    present = float(np.linalg.norm(vector))
    return vector if present <= length else vector * (length / present)
