# SPDX-License-Identifier: Apache-2.0
"""Joint trajectories for a ``JointTrajectoryController``, by inverse kinematics of our own.

Every command is a complete trajectory: where the joints shall be in a moment, and where they come
to rest after it. So the arm stops by itself when no more come, and the controller, which in ROS 2
Jazzy refuses trajectories that do not end at rest, takes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from builtin_interfaces.msg import Duration
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.robots.kinematics import ArmKinematics, Posture
from vjepa_ros import conversions, qos
from vjepa_ros.command_interfaces.base import CommandInterface, InterfaceConfig, missing_messages
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Float64Array, Pose, Velocity
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting

_ITERATIONS = 3  # of the inverse kinematics; a target is millimetres from the one before
_PULL = 0.002  # to the preferred posture per iteration: 0.3 of the way in a second
_REACHED = 0.002  # [m]
_REACHED_ANGLE = 0.02  # [rad]
_LONGEST_STEP = 0.1  # [s] at the speed limit of a joint between two commands
_SAME_PLACE = 0.03  # [m] between measured pose and measured joints, and ...
_SAME_ANGLE = 0.2  # ... [rad]: they are not measured at the same moment


@dataclass(frozen=True, kw_only=True)
class JointStatesConfig:
    """Where the measured joints come from; without prefix, as other nodes have it, too."""

    joint_states_topic: str = setting(
        '/joint_states', 'Topic of the measured joint positions', read_only=True
    )


@dataclass(frozen=True, kw_only=True)
class JointTrajectoryConfig(InterfaceConfig):
    """Names and limits of the joints. The limits are those of an FR3."""

    topic: str = setting(
        '/fr3_arm_controller/joint_trajectory',
        'Topic of the trajectories, <controller>/joint_trajectory',
        read_only=True,
    )
    joint_names: tuple[str, ...] = setting(
        fr3.ARM_JOINT_NAMES, 'The seven joints of the arm, from the base on', read_only=True
    )
    ee_frame: str = setting(
        fr3.TCP_FRAME,
        'Frame of the measured pose: a name that ends in link8, hand or hand_tcp',
        read_only=True,
    )
    joint_lower_limits: tuple[float, ...] = setting(
        tuple(joint.lower for joint in fr3.JOINTS),
        'Lower ends of the ranges of the joints [rad]',
        read_only=True,
    )
    joint_upper_limits: tuple[float, ...] = setting(
        tuple(joint.upper for joint in fr3.JOINTS),
        'Upper ends of the ranges of the joints [rad]',
        read_only=True,
    )
    joint_speed_limits: tuple[float, ...] = setting(
        fr3.RECOMMENDED_JOINT_VELOCITIES, 'Largest speeds of the joints [rad/s]', read_only=True
    )
    joint_margin: float = setting(
        0.1,
        'Distance to keep from the ends of the ranges [rad]',
        minimum=0.0,
        maximum=0.5,
        read_only=True,
    )
    max_condition_number: float = setting(
        60.0,
        'The arm holds where the condition number of its Jacobian (m, rad) is larger: near a '
        'singularity',
        minimum=10.0,
        maximum=1000.0,
        read_only=True,
    )
    point_duration: float = setting(
        0.04,
        'Time from a command to its first point; more than a period of command_rate [s]',
        minimum=0.01,
        maximum=0.2,
        read_only=True,
    )
    stop_duration: float = setting(
        0.1,
        'Time in which the joints stop after it [s]',
        minimum=0.02,
        maximum=0.5,
        read_only=True,
    )

    def __post_init__(self) -> None:
        """Check that there is one of each for seven joints.

        Raises:
            InvalidInputError: There are more or fewer, or a range is empty.
        """
        for name in (
            'joint_names',
            'joint_lower_limits',
            'joint_upper_limits',
            'joint_speed_limits',
        ):
            if len(getattr(self, name)) != len(fr3.JOINTS):
                raise InvalidInputError(
                    f'{name} must have {len(fr3.JOINTS)} entries, got {list(getattr(self, name))}.'
                )
        lower, upper = np.array(self.joint_lower_limits), np.array(self.joint_upper_limits)
        if not (lower + 2.0 * self.joint_margin < upper).all():
            raise InvalidInputError(
                f'joint_lower_limits {lower.tolist()} and joint_upper_limits {upper.tolist()} '
                f'leave nothing between them with a joint_margin of {self.joint_margin:g} rad.'
            )
        if not (np.array(self.joint_speed_limits) > 0.0).all():
            raise InvalidInputError(
                f'joint_speed_limits must be positive, got {list(self.joint_speed_limits)}.'
            )


class JointTrajectoryInterface(CommandInterface):
    """Publishes where the joints shall be for every target; refuses what they should not do."""

    config_class = JointTrajectoryConfig
    _config: JointTrajectoryConfig

    def __init__(
        self, node: Node, config: JointTrajectoryConfig, base_frame: str, limits: GateConfig
    ) -> None:
        """Listen to the joints.

        Raises:
            UnknownNameError: ``ee_frame`` is no frame of a Franka Hand.
            MissingDependencyError: trajectory_msgs is not installed.
        """
        super().__init__(node, config, base_frame, limits)
        self._kinematics = ArmKinematics(config.ee_frame)
        self._states: JointStatesConfig = ConfigParameters(node, JointStatesConfig()).value
        self._lower = np.array(config.joint_lower_limits) + config.joint_margin
        self._upper = np.array(config.joint_upper_limits) - config.joint_margin
        self._speed = np.array(config.joint_speed_limits)
        self._measured: Float64Array | None = None
        self._measured_at = 0  # [ns]
        self._seen: set[str] = set()  # names of joints
        self._commanded: Float64Array | None = None  # in this motion
        node.create_subscription(
            JointState,
            self._states.joint_states_topic,
            self._on_joint_states,
            qos.ROBOT_STATE,
            qos_overriding_options=qos.OVERRIDABLE,
        )

    @classmethod
    def message_type(cls) -> type:
        """Return the type of the commands, see the base class."""
        try:
            from trajectory_msgs.msg import JointTrajectory
        except ImportError as error:
            raise missing_messages('joint_trajectory', 'trajectory_msgs') from error
        return JointTrajectory

    def check(self, measured: Pose | None) -> None:
        """Raise if the joints are not measured, or are not those of the measured pose."""
        joints = self._joints()
        if joints is None:
            raise InvalidInputError(self._what_is_missing())
        if measured is None:
            return
        error = self._kinematics.posture(joints).error(measured.position, measured.quaternion)
        distance, angle = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
        if distance > _SAME_PLACE or angle > _SAME_ANGLE:
            raise InvalidInputError(
                f'the measured pose is {distance:.3f} m and {angle:.2f} rad from where the '
                f'measured joints have {self._config.ee_frame}: is it the pose of another frame '
                '(joint_trajectory.ee_frame), or is base_frame not the base of the arm?'
            )

    def update(self, measured: Pose | None, moving: bool) -> str:
        """Forget the last command when a motion has ended, see the base class."""
        if not moving:
            self._commanded = None
        return super().update(measured, moving)

    def _send(self, target: Pose, velocity: Velocity) -> None:
        start = self._joints() if self._commanded is None else self._commanded
        if start is None:
            self._trouble = self._what_is_missing()
            return
        posture = self._kinematics.solve(
            start, target.position, target.quaternion, _ITERATIONS, _PULL
        )
        speeds = posture.joint_velocities(np.concatenate([velocity.linear, velocity.angular]))
        stopped = posture.joints + 0.5 * self._config.stop_duration * speeds
        self._trouble = self._pose_objection(start, posture, target) or self._joint_objection(
            start, posture.joints, stopped, speeds
        )
        if self._trouble:
            return
        self._commanded = posture.joints
        soon = self._config.point_duration
        self._publish(
            (soon, posture.joints, speeds),
            (soon + self._config.stop_duration, stopped, np.zeros(7)),
        )

    def _hold(self, pose: Pose) -> None:
        del pose
        joints = self._joints()
        if joints is None:
            joints = self._commanded  # the controller stops there by itself
        self._commanded = None
        if joints is not None:
            self._publish((self._config.stop_duration, joints, np.zeros(7)))

    def _pose_objection(self, start: Float64Array, posture: Posture, target: Pose) -> str:
        """Return why the posture is none to go to for this target; empty if it is one."""
        condition, most = posture.condition_number(), self._config.max_condition_number
        if condition > most:
            return (
                f'near a singularity: the condition number is {condition:.0f}, allowed are '
                f'{most:g} (joint_trajectory.max_condition_number)'
            )
        error = posture.error(target.position, target.quaternion)
        far = np.linalg.norm(error[:3]) > _REACHED or np.linalg.norm(error[3:]) > _REACHED_ANGLE
        if far or (np.abs(posture.joints - start) > _LONGEST_STEP * self._speed).any():
            return 'the joints do not reach the target'
        return ''

    def _joint_objection(
        self,
        start: Float64Array,
        joints: Float64Array,
        stopped: Float64Array,
        speeds: Float64Array,
    ) -> str:
        """Return which joint must not go there or so fast; empty if all may."""
        # What is outside of its range and margin already may come back, but not go further.
        lower, upper = np.minimum(start, self._lower), np.maximum(start, self._upper)
        for angles in (joints, stopped):
            for index in np.flatnonzero((angles < lower) | (angles > upper)):
                return (
                    f'near a joint limit: {self._config.joint_names[index]} would be at '
                    f'{angles[index]:.2f} rad, allowed are {self._lower[index]:.2f} to '
                    f'{self._upper[index]:.2f} rad'
                )
        for index in np.flatnonzero(np.abs(speeds) > self._speed):
            return (
                f'{self._config.joint_names[index]} would turn at {abs(speeds[index]):.2f} '
                f'rad/s, allowed are {self._speed[index]:g} rad/s'
            )
        return ''

    def _publish(self, *points: tuple[float, Float64Array, Float64Array]) -> None:
        """Send a trajectory of (time from now [s], joint positions, joint velocities)."""
        from trajectory_msgs.msg import JointTrajectoryPoint

        message = self.message_type()(joint_names=list(self._config.joint_names))
        message.points = [  # the stamp stays zero: from now on
            JointTrajectoryPoint(
                positions=positions.tolist(),
                velocities=velocities.tolist(),
                time_from_start=Duration(sec=int(time), nanosec=round(time % 1.0 * 1e9)),
            )
            for time, positions, velocities in points
        ]
        self._publisher.publish(message)

    def _on_joint_states(self, message: JointState) -> None:
        self._seen.update(message.name)
        try:
            joints = conversions.joint_positions_from_message(message, self._config.joint_names)
        except InvalidInputError as error:
            self._trouble = str(error)
            return
        if joints is not None:
            self._measured, self._measured_at = joints, self._now()

    def _joints(self) -> Float64Array | None:
        """Return the measured joint positions if they are recent."""
        age = (self._now() - self._measured_at) / 1e9
        return self._measured if 0.0 <= age <= self.limits.state_max_age else None

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _what_is_missing(self) -> str:
        topic = self._states.joint_states_topic
        missing = [name for name in self._config.joint_names if name not in self._seen]
        if self._seen and missing:
            return (
                f'the joint states of {topic} have no {", ".join(missing)}, but '
                f'{", ".join(sorted(self._seen))}. Set joint_trajectory.joint_names.'
            )
        return f'no recent joint states of the arm on {topic}.'
