# SPDX-License-Identifier: Apache-2.0
"""The fingers of a Franka Hand behind a position controller of ros2_control.

Gazebo and mock hardware have such a controller but no gripper actions. It takes the position of
the first finger joint; the second one mimics it.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
import threading

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_ros import conversions, qos
from vjepa_ros.node import VjepaNode
from vjepa_ros.settings import setting

_LONGEST_STEP = 0.1  # [s] between two measurements: the fingers do not jump after a gap
_PATIENCE = 1.0  # [s] of wall time to wait for a measurement: a simulation may be paused
_NANOSECONDS = 1e9


@dataclass(frozen=True, kw_only=True)
class FingerControllerConfig:
    """Names of joints and topics."""

    joint_states_topic: str = setting(
        '/joint_states', 'Topic that has the finger joints', read_only=True
    )
    finger_joints: tuple[str, ...] = setting(
        fr3.FINGER_JOINT_NAMES, 'Names of the two finger joints', read_only=True
    )
    command_topic: str = setting(
        '/fr3_gripper_controller/commands',
        'Topic of the positions of the first finger joint, <controller>/commands',
        read_only=True,
    )


class FingerController:
    """Moves the set-point at the asked speed, one step per measured joint state.

    The force is that of the joint's effort limit, whatever is asked: the controller takes none.
    Methods may be called from any thread.
    """

    def __init__(self, node: VjepaNode, config: FingerControllerConfig) -> None:
        """Listen to the joint states on ``node``; nothing moves yet."""
        self._node = node
        self._config = config
        self._measured = threading.Condition()  # guards what follows; notified with each of them
        self._time = 0.0  # [s] of the newest measurement
        self._width = math.nan
        self._set_point = self._target = math.nan  # widths [m]
        self._speed = 0.0
        self._publisher = node.create_publisher(
            Float64MultiArray,
            config.command_topic,
            qos.COMMAND,
            qos_overriding_options=qos.OVERRIDABLE,
        )
        node.create_subscription(
            JointState,
            config.joint_states_topic,
            self._on_joint_states,
            qos.ROBOT_STATE,
            qos_overriding_options=qos.OVERRIDABLE,
        )

    def set_gripper_target(self, width: float, speed: float, force: float) -> None:
        """Move the gripper to ``width`` [m] at ``speed`` [m/s].

        Raises:
            InvalidInputError: The fingers are not measured, or a number is not finite or positive.
        """
        if not (np.isfinite([width, speed, force]).all() and speed > 0.0 and force > 0.0):
            raise InvalidInputError(
                'gripper needs a finite width and positive speed and force, got '
                f'{width}, {speed}, {force}.'
            )
        with self._measured:
            if math.isnan(self._width):
                raise InvalidInputError(self.what_is_missing())
            if math.isnan(self._target):
                self._set_point = self._width
            self._target = min(max(width, 0.0), fr3.MAX_GRIPPER_WIDTH)
            self._speed = speed

    def gripper_width(self) -> float:
        """Return the measured opening of the gripper [m]; NaN before the first measurement."""
        with self._measured:
            return self._width

    def wait_for_step(self) -> float:
        """Wait for the next measurement, at most a second, and return the time of the newest."""
        with self._measured:
            self._measured.wait(_PATIENCE)
            return self._time

    def what_is_missing(self) -> str:
        """Return what nothing can be done without."""
        joints = ', '.join(self._config.finger_joints)
        return f'no position of {joints} yet on {self._config.joint_states_topic}.'

    def _on_joint_states(self, message: JointState) -> None:
        try:
            positions = conversions.joint_positions_from_message(
                message, self._config.finger_joints
            )
        except InvalidInputError as error:
            self._node.status.reject(str(error))
            return
        if positions is None:  # of the arm alone, say
            return
        time = conversions.nanoseconds_from_stamp(message.header.stamp) / _NANOSECONDS
        with self._measured:
            step = min(max(time - self._time, 0.0), _LONGEST_STEP)
            self._time, self._width = time, float(positions.sum())
            self._advance(step)
            self._measured.notify_all()

    def _advance(self, step: float) -> None:
        """Bring the set-point nearer to the target by what the speed allows in ``step`` [s]."""
        if math.isnan(self._target) or self._set_point == self._target:
            return
        reach = self._speed * step
        missing = self._target - self._set_point
        self._set_point += min(max(missing, -reach), reach)
        self._publisher.publish(Float64MultiArray(data=[self._set_point / 2]))
