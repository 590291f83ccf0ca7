# SPDX-License-Identifier: Apache-2.0
"""The node ``commander``: the only one that publishes to the robot.

It hands plans, measured poses and the time to the command gate, which decides, and publishes what
the gate lets through. All of it runs on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.robots import fr3
from vjepa_ros import conversions, qos
from vjepa_ros.command_gate import CommandGate, GateState, PlannedStep
from vjepa_ros.command_interfaces import available_command_interfaces, make_command_interface
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.gripper import GripperConfig, make_gripper
from vjepa_ros.lifecycle import ManagedNode
from vjepa_ros.motion import Pose
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.spin import run


@dataclass(frozen=True, kw_only=True)
class CommanderConfig:
    """Frames and rates of the commander."""

    base_frame: str = setting(
        fr3.BASE_FRAME, 'Frame of plans, measured poses and targets', read_only=True
    )
    command_rate: float = setting(
        50.0, 'Rate of interpolated targets [Hz]', minimum=20.0, maximum=200.0, read_only=True
    )
    autostart: bool = setting(
        False,
        'Accept plans at once, instead of after a call of the service start',
        read_only=True,
    )
    command_interface: str = setting(
        'pose',
        f'How targets reach the arm: {", ".join(available_command_interfaces())}',
        read_only=True,
    )


class CommanderNode(ManagedNode):
    """Turns plans into limited motions of the arm, and holds it otherwise.

    Unless it is active its gate is stopped, and cannot be started; it watches and holds on.
    """

    def __init__(self) -> None:
        """Declare the parameters, but for those of the command interface that is chosen.

        Raises:
            VjepaPlannerError: Some of them do not go together.
        """
        super().__init__('commander')
        self._config = ConfigParameters(self, CommanderConfig())
        self._limits = ConfigParameters(self, GateConfig(), '', self._take_config)
        self._gripper_parameters = ConfigParameters(self, GripperConfig(), '', self._take_config)
        self._gate: CommandGate | None = None
        self._autostarts = False

    def configure(self) -> None:
        """Make the gate, stopped, and the endpoints.

        Raises:
            VjepaPlannerError: The package of the gripper or of the command interface is missing,
                or a parameter is wrong.
        """
        config = self._config.value
        self._gripper = make_gripper(self, self._gripper_parameters.value)
        self._interface = make_command_interface(
            self, config.command_interface, config.base_frame, self._limits.value
        )
        latched = self._gate is not None and self._gate.state is GateState.E_STOPPED
        self._gate = CommandGate(self._limits.value, self._send_target, self._gripper)
        if latched:
            self._gate.e_stop()
        self._autostarts = config.autostart
        self._make_endpoints(config.command_rate)

    def activate(self) -> None:
        """Let plans pass if ``autostart`` is set; after a deactivation only ``start`` does."""
        if self._autostarts and self._gate.state is GateState.STOPPED:
            self._gate.start()
        self._report()

    def deactivate(self) -> None:
        """Leave the arm at rest."""
        self._autostarts = False
        if self._gate.state is not GateState.STOPPED:
            self._gate.stop('it was deactivated: call the service start')

    def rest(self, reason: str) -> None:
        """Say why the node does not work: to others it is a commander that is stopped."""
        self.rest_reason = reason
        if self._gate is None:
            self.status.update(state=Status.STOPPED, reason=reason)
        else:
            self._report()

    def _make_endpoints(self, rate: float) -> None:
        options = {'qos_overriding_options': qos.OVERRIDABLE}
        self.create_subscription(
            PoseStamped, 'current_pose', self._on_pose, qos.ROBOT_STATE, **options
        )
        self.create_subscription(Plan, 'plan', self._on_plan, qos.RESULT, **options)
        for name, action in (
            ('start', self._start),
            ('stop', self._gate.stop),
            ('e_stop', self._gate.e_stop),
            ('release_e_stop', self._gate.release_e_stop),
        ):
            self.create_service(Trigger, name, self._triggering(action))
        # Steady unless the time is simulated: the clock of the machine may be set back.
        simulated = self.get_parameter('use_sim_time').value
        clock = self.get_clock() if simulated else Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0 / rate, self._on_tick, clock=clock)

    def _take_config(self) -> None:
        self._gate.config = self._interface.limits = self._limits.value
        if self._gripper is not None:
            self._gripper.config = self._gripper_parameters.value

    # -- callbacks -----------------------------------------------------------------------------

    def _on_pose(self, message: PoseStamped) -> None:
        try:
            self._check_frame('current_pose', message.header)
            position, quaternion = conversions.pose_from_message(message)
        except InvalidInputError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            self._gate.distrust(str(error))
            self._report()
            return
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        try:
            self._gate.measure(Pose(position, quaternion), stamp, self._now())
        except InvalidInputError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_plan(self, message: Plan) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        rejected = self._gate.rejected
        try:
            self._check_frame('plan', message.header)
            step = PlannedStep(
                conversions.actions_from_message(message)[0],
                conversions.state_from_message(message),
                stamp,
                message.goal_id,
            )
            self._interface.check(self._gate.measured)
            self._interface.check_listener()
        except InvalidInputError as error:
            self._gate.refuse(str(error), stamp)
        else:
            if self._gate.submit(step, self._now()):
                self._tick_at_once()
        if self._gate.rejected > rejected:
            self.get_logger().error(self._gate.reason, throttle_duration_sec=1.0)
        self._report()

    def _tick_at_once(self) -> None:
        """Send the first target of a plan now; the next one follows a period later."""
        self._timer.reset()
        self._on_tick()

    def _on_tick(self) -> None:
        try:
            self._check_other_publishers()
        except InvalidInputError as error:
            self._gate.fault(str(error))
        now = self._now()
        self._interface.stamp = conversions.stamp_from_nanoseconds(now)
        self._gate.tick(now)
        moving = self._gate.state is GateState.EXECUTING
        trouble = self._interface.update(self._gate.measured, moving)
        if moving and trouble:
            self._gate.hold(trouble)
        self._interface.stamp = None
        self._report()

    def _start(self) -> None:
        """Accept plans, if nobody else commands the arm and it can be commanded."""
        self.check_active()
        self._check_other_publishers()
        self._interface.check(self._gate.measured)
        self._gate.start()

    def _triggering(
        self, action: Callable[[], None]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        """Return the callback of a service that does this to the gate."""

        def callback(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                action()
                response.success = True
                response.message = self._gate.reason
            except VjepaPlannerError as error:
                response.message = str(error)
            self._report()
            return response

        return callback

    # -- inside --------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _check_frame(self, name: str, header: Header) -> None:
        if header.frame_id != self._config.value.base_frame:
            raise InvalidInputError(
                f'{name} is in frame {header.frame_id!r}, needed is '
                f'{self._config.value.base_frame!r} (parameter base_frame).'
            )

    def _check_other_publishers(self) -> None:
        """Raise if somebody else commands the arm as well."""
        topic = self._interface.topic
        if self.count_publishers(topic) <= 1:
            return
        publishers = self.get_publishers_info_by_topic(topic)
        names = sorted(f'{one.node_namespace.rstrip("/")}/{one.node_name}' for one in publishers)
        raise InvalidInputError(
            f'{topic} has {len(names)} publishers: {", ".join(names)}. Only the commander may be.'
        )

    def _send_target(self, pose: Pose) -> None:
        if self._gate.state is GateState.EXECUTING:
            self._interface.send(pose, self._gate.velocity)
        else:
            self._interface.hold(pose)

    def _report(self) -> None:
        gate = self._gate
        self.status.update(
            state=int(gate.state),
            reason=gate.reason if self.is_active else self.rest_reason,
            accepted=gate.accepted,
            rejected=gate.rejected,
            goal_id=gate.goal_id,
            settled=conversions.stamp_from_nanoseconds(gate.settled or 0),
            plan_stamp=conversions.stamp_from_nanoseconds(gate.plan_stamp),
        )


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [CommanderNode()])
