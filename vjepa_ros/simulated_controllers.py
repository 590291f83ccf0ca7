# SPDX-License-Identifier: Apache-2.0
"""The controllers of the simulated arm: one for each command interface of the commander.

They take the same messages on the same topics as the controllers that they stand for, and stop as
those do when no more come. They are much simpler: no forces, no collisions, no singularities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from std_msgs.msg import Header

from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import CONTROL_PERIOD, FrankaSimulation
from vjepa_ros import conversions, qos
from vjepa_ros.ages import check_age
from vjepa_ros.command_interfaces import command_message_type, declare_interface_parameters
from vjepa_ros.command_interfaces.servo import ServoConfig
from vjepa_ros.motion import Float64Array, quaternion_product, rotation_quaternion, Velocity
from vjepa_ros.node import VjepaNode
from vjepa_ros.simulation_loop import SimulationLoop

if TYPE_CHECKING:  # they may not be installed
    from moveit_msgs.srv import ServoCommandType
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_WATCHDOG = 0.1  # [s] of simulated time without a command after which a stream has ended
_OLD_COMMAND = 0.5  # [s]; MoveIt Servo's 0.1 s would be short on a busy machine
_STATUS_PERIOD = 0.05  # [s]


class SimulatedController(ABC):
    """Takes commands and sets the targets of the simulated arm."""

    def __init__(self, node: VjepaNode, loop: SimulationLoop, name: str) -> None:
        """Listen to the topic of the interface ``name``.

        Raises:
            VjepaPlannerError: A parameter is wrong, or its messages are not installed.
        """
        self._node = node
        self._loop = loop
        self._config: Any = declare_interface_parameters(node, name)
        node.create_subscription(
            command_message_type(name),
            self._config.topic,
            self._on_command,
            qos.COMMAND,
            qos_overriding_options=qos.OVERRIDABLE,
        )

    def step(self, simulation: FrankaSimulation) -> None:  # noqa: B027 - targets may stay
        """Set the target of the next control period, or leave it."""

    def reset(self) -> None:  # noqa: B027 - there may be nothing to forget
        """Forget what was commanded: the arm is elsewhere."""

    @abstractmethod
    def _take(self, message: object) -> None:
        """Obey a command.

        Raises:
            InvalidInputError: It cannot be obeyed.
        """

    def _on_command(self, message: object) -> None:
        try:
            self._take(message)
            self._node.status.accept()
        except InvalidInputError as error:
            self._node.status.reject(f'{error} The target before stays.')

    def _check_frame(self, header: Header, frame: str = fr3.BASE_FRAME) -> None:
        if header.frame_id != frame:
            raise InvalidInputError(
                f'the command is in frame {header.frame_id!r}, needed is {frame!r}.'
            )


class PoseController(SimulatedController):
    """Goes to the newest pose and stays there."""

    def _take(self, message: PoseStamped) -> None:
        self._check_frame(message.header)
        self._loop.set_target_pose(*conversions.pose_from_message(message))


class CrispController(SimulatedController):
    """As CRISP: the frame is that of its configuration."""

    def _take(self, message: PoseStamped) -> None:
        self._check_frame(message.header, self._config.frame_id)
        self._loop.set_target_pose(*conversions.pose_from_message(message))


class TwistController(SimulatedController):
    """Integrates velocities, and stops when no more come."""

    _velocity: Velocity | None = None
    _silence = 0.0  # [s]
    _pose: tuple[Float64Array, Float64Array] | None = None

    def step(self, simulation: FrankaSimulation) -> None:
        """Go on for a control period, see the base class."""
        self._silence += CONTROL_PERIOD
        if self._silence > _WATCHDOG:
            self.reset()
        if self._velocity is None:
            return
        position, quaternion = self._pose or simulation.ee_pose()
        turn = rotation_quaternion(self._velocity.angular * CONTROL_PERIOD)
        self._pose = (
            position + self._velocity.linear * CONTROL_PERIOD,
            quaternion_product(turn, quaternion),
        )
        simulation.set_target_pose(*self._pose)

    def reset(self) -> None:
        """Stop, see the base class."""
        self._velocity = self._pose = None

    def _take(self, message: TwistStamped) -> None:
        self._check_frame(message.header)
        velocity = conversions.velocity_from_message(message)
        self._loop.command(lambda _: self._go(velocity))

    def _go(self, velocity: Velocity) -> None:
        self._velocity, self._silence = velocity, 0.0


class _Servo:
    """The names of MoveIt Servo: obeys nothing before it was switched, nor what is old."""

    def __init__(self, node: VjepaNode, config: ServoConfig, command_type: str) -> None:
        from moveit_msgs.msg import ServoStatus
        from moveit_msgs.srv import ServoCommandType

        self._node = node
        self._needed = getattr(ServoCommandType.Request, command_type)
        self._command_type = ServoCommandType.Request.JOINT_JOG
        node.create_service(ServoCommandType, config.switch_service, self._switch)
        publisher = node.create_publisher(ServoStatus, config.status_topic, qos.ROBOT_STATE_SOURCE)
        node.create_timer(_STATUS_PERIOD, lambda: publisher.publish(ServoStatus()))

    def check(self, header: Header) -> None:
        """Raise if a command is not to be obeyed."""
        if self._command_type != self._needed:
            raise InvalidInputError('switch_command_type was not called for such commands.')
        stamp = conversions.nanoseconds_from_stamp(header.stamp)
        check_age('the command', stamp, self._node.get_clock().now().nanoseconds, _OLD_COMMAND)

    def _switch(
        self, request: ServoCommandType.Request, response: ServoCommandType.Response
    ) -> ServoCommandType.Response:
        self._command_type = request.command_type
        response.success = True
        return response


class ServoTwistController(TwistController):
    """As MoveIt Servo with velocities."""

    def __init__(self, node: VjepaNode, loop: SimulationLoop, name: str) -> None:
        """Serve the switch of the command type, see the base class."""
        super().__init__(node, loop, name)
        self._servo = _Servo(node, self._config, 'TWIST')

    def _take(self, message: TwistStamped) -> None:
        self._servo.check(message.header)
        super()._take(message)


class ServoPoseController(SimulatedController):
    """As MoveIt Servo with poses: it stops where it is when no more come."""

    _silence: float | None = None  # [s] since the last pose; None while there is no stream

    def __init__(self, node: VjepaNode, loop: SimulationLoop, name: str) -> None:
        """Serve the switch of the command type, see the base class."""
        super().__init__(node, loop, name)
        self._servo = _Servo(node, self._config, 'POSE')

    def step(self, simulation: FrankaSimulation) -> None:
        """Stop when the stream has ended, see the base class."""
        if self._silence is None:
            return
        self._silence += CONTROL_PERIOD
        if self._silence > _WATCHDOG:
            self._silence = None
            simulation.set_target_pose(*simulation.ee_pose())

    def reset(self) -> None:
        """Expect no more poses, see the base class."""
        self._silence = None

    def _take(self, message: PoseStamped) -> None:
        self._servo.check(message.header)
        self._check_frame(message.header)
        pose = conversions.pose_from_message(message)
        self._loop.command(lambda simulation: self._go(simulation, *pose))

    def _go(
        self, simulation: FrankaSimulation, position: Float64Array, quaternion: Float64Array
    ) -> None:
        simulation.set_target_pose(position, quaternion)
        self._silence = 0.0


@dataclass(frozen=True)
class _Point:
    """Where the joints are at a time.

    Attributes:
        time: Since the trajectory came [s].
        positions: Shape (7,) [rad].
        velocities: Shape (7,) [rad/s].
    """

    time: float
    positions: Float64Array
    velocities: Float64Array

    def towards(self, end: _Point, time: float) -> _Point:
        """Return the point at a time on the cubic to a later one (Hermite's)."""
        span = end.time - self.time
        share = (time - self.time) / span
        rise = end.positions - self.positions
        a = 3.0 * rise - span * (2.0 * self.velocities + end.velocities)
        b = -2.0 * rise + span * (self.velocities + end.velocities)
        positions = self.positions + span * self.velocities * share + a * share**2 + b * share**3
        velocities = self.velocities + (2.0 * a * share + 3.0 * b * share**2) / span
        return _Point(time, positions, velocities)


class TrajectoryController(SimulatedController):
    """As a ``JointTrajectoryController`` of ROS 2 Jazzy: a new trajectory replaces the old one."""

    def __init__(self, node: VjepaNode, loop: SimulationLoop, name: str) -> None:
        """Begin without a trajectory, see the base class."""
        super().__init__(node, loop, name)
        self.reset()

    def step(self, simulation: FrankaSimulation) -> None:
        """Go on for a control period, see the base class."""
        if not self._points:
            return
        time = self._now.time + CONTROL_PERIOD
        while self._points and self._points[0].time <= time:
            self._now = self._points.pop(0)
        if self._points:
            self._now = self._now.towards(self._points[0], time)
        simulation.set_target_joints(self._now.positions)

    def reset(self) -> None:
        """Stop, see the base class."""
        self._points: list[_Point] = []
        self._now = _Point(0.0, np.zeros(7), np.zeros(7))

    def _take(self, message: JointTrajectory) -> None:
        if sorted(message.joint_names) != sorted(self._config.joint_names):
            raise InvalidInputError(
                f'the trajectory is of the joints {list(message.joint_names)}, needed are '
                f'{list(self._config.joint_names)}.'
            )
        order = [message.joint_names.index(name) for name in self._config.joint_names]
        points = [_point(point, order) for point in message.points]
        times = np.array([0.0, *(point.time for point in points)])
        if not points or (np.diff(times) <= 0.0).any():
            raise InvalidInputError('a trajectory needs points at increasing times.')
        if points[-1].velocities.any():
            raise InvalidInputError('the velocities of the last point must be zero.')
        self._loop.command(lambda simulation: self._begin(simulation, points))

    def _begin(self, simulation: FrankaSimulation, points: list[_Point]) -> None:
        if self._points:
            self._now = _Point(0.0, self._now.positions, self._now.velocities)
        else:
            self._now = _Point(0.0, simulation.joint_positions()[:7], np.zeros(7))
        self._points = list(points)


def _point(message: JointTrajectoryPoint, order: list[int]) -> _Point:
    if len(message.positions) != 7 or len(message.velocities) != 7:
        raise InvalidInputError('each point needs 7 positions and 7 velocities.')
    positions, velocities = np.array(message.positions)[order], np.array(message.velocities)[order]
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise InvalidInputError('the trajectory contains NaN or infinity.')
    duration = message.time_from_start
    return _Point(duration.sec + duration.nanosec / 1e9, positions, velocities)


SIMULATED_CONTROLLERS: dict[str, type[SimulatedController]] = {
    'pose': PoseController,
    'crisp': CrispController,
    'twist': TwistController,
    'servo_pose': ServoPoseController,
    'servo_twist': ServoTwistController,
    'joint_trajectory': TrajectoryController,
}
"""By the names of the command interfaces."""


def make_simulated_controller(
    node: VjepaNode, loop: SimulationLoop, name: str
) -> SimulatedController:
    """Return the controller that obeys the command interface ``name``.

    Raises:
        UnknownNameError: There is no such interface.
        VjepaPlannerError: A parameter is wrong, or its messages are not installed.
    """
    if name not in SIMULATED_CONTROLLERS:
        raise UnknownNameError('command_interface', name, tuple(SIMULATED_CONTROLLERS))
    return SIMULATED_CONTROLLERS[name](node, loop, name)
