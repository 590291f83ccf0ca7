# SPDX-License-Identifier: Apache-2.0
"""One contract for every command interface: commander and simulated arm over real DDS."""

from __future__ import annotations

from collections.abc import Iterator

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_planner.errors import UnknownNameError
from vjepa_ros import conversions, qos
from vjepa_ros.command_interfaces import available_command_interfaces, command_message_type
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.motion import Pose, Velocity

pytest.importorskip('mujoco')
from vjepa_ros.simulated_controllers import SIMULATED_CONTROLLERS
from vjepa_ros.simulation_loop import ArmMeasurement
from vjepa_ros.simulator_node import SimulatorNode

MAX_SPEED = 0.25
PATIENT = {'state_max_age': 2.0, 'plan_max_age': 20.0, 'max_tracking_error': 0.1}
NEEDS = {
    'servo_pose': 'moveit_msgs',
    'servo_twist': 'moveit_msgs',
    'joint_trajectory': 'trajectory_msgs',
}
PERIOD = 0.02  # [s] of simulated time between two measurements


def numbers(message: object) -> Iterator[float]:
    """Yield every number of a message."""
    if isinstance(message, float | int):
        yield float(message)
    elif hasattr(message, 'get_fields_and_field_types'):
        for name in message.get_fields_and_field_types():
            yield from numbers(getattr(message, name))
    elif not isinstance(message, str | bytes):
        for part in message:
            yield from numbers(part)


class Robot:
    """Commander and simulator with the same interface, a recorder of what goes between them."""

    def __init__(self, graph, name: str) -> None:
        graph.begin(
            simulator={'image_size': 32, 'image_rate': 0.1, 'command_interface': name},
            commander={
                **PATIENT,
                'gripper': 'none',
                'autostart': True,
                'command_interface': name,
                'max_speed': MAX_SPEED,
            },
        )
        self.graph = graph
        self.simulator, self.commander = SimulatorNode(), CommanderNode()
        self.measurements: list[ArmMeasurement] = []
        publish = self.simulator._loop._on_measurement
        self.simulator._loop._on_measurement = lambda one: (
            self.measurements.append(one),
            publish(one),
        )
        graph.start(self.simulator)
        graph.start(self.commander)
        self.commands = graph.record(command_message_type(name), self.topic, qos.COMMAND)
        self._poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
        self._plans = graph.publisher(Plan, 'plan', qos.RESULT)
        self.wait_for_rest()

    @property
    def topic(self) -> str:
        return self.commander._interface.topic

    @property
    def position(self) -> np.ndarray:
        return self.measurements[-1].position

    def measured_pose(self) -> Pose:
        return Pose(self.position, self.measurements[-1].quaternion)

    def wait_for_rest(self) -> None:
        """Wait until the commander would take a plan from an image of now."""
        self.graph.wait_until(
            lambda: self.graph.wait_for_status('commander', Status.IDLE).settled.sec, 'rest'
        )

    def plan(self, *translation: float, yaw: float = 0.0) -> None:
        """Send plans that move and turn the arm like this until one is accepted."""
        accepted = self.graph.status('commander').accepted

        def taken() -> bool:
            status = self.graph.status('commander')
            if status.settled.sec and status.state in (Status.IDLE, Status.HOLDING):
                pose = conversions.pose_from_message(self._poses[-1])
                message = Plan(horizon=1, actions=[*translation, 0.0, 0.0, yaw, 0.0])
                message.state = conversions.state_from_pose(*pose, 0.0)
                message.header = Header(stamp=self.graph.now(), frame_id='fr3_link0')
                self._plans.publish(message)
                self.graph.wait_until(
                    lambda: self.graph.status('commander').header.stamp != status.header.stamp,
                    'an answer',
                )
            return self.graph.status('commander').accepted > accepted

        self.graph.wait_until(taken, 'an accepted plan')

    def way(self) -> np.ndarray:
        """Return a translation of 8 cm towards the middle of the workspace, shape (3,) [m]."""
        return 0.08 * (1.0 if self.position[1] < 0.0 else -1.0) * np.array([0.0, 1.0, 0.0])

    def wait_for_motion(self, start: np.ndarray) -> None:
        self.graph.wait_until(
            lambda: np.linalg.norm(self.position - start) > 0.02, '2 cm of the motion'
        )

    def wait_for_simulated(self, duration: float) -> None:
        count = len(self.measurements) + round(duration / PERIOD)
        self.graph.wait_until(lambda: len(self.measurements) >= count, f'{duration} s')

    def assert_it_stops_short_of(self, target: np.ndarray) -> None:
        """The motion is 8 cm long and has about 5 cm to go; to stop takes at most 4 of them."""
        self.wait_for_simulated(0.8)  # the simulation may be behind by half a second
        rest = self.position
        assert np.linalg.norm(rest - target) > 0.01
        self.wait_for_simulated(0.5)
        assert np.linalg.norm(self.position - rest) < 0.002


@pytest.fixture(params=available_command_interfaces())
def robot(request, graph) -> Robot:
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return Robot(graph, request.param)


def test_every_interface_has_a_simulated_controller() -> None:
    assert tuple(SIMULATED_CONTROLLERS) == available_command_interfaces()


def test_a_motion_arrives_and_keeps_the_speed_limit(robot) -> None:
    start, way = robot.position, robot.way()
    turned = robot.measured_pose()
    robot.plan(*way, yaw=0.2)
    robot.wait_for_rest()
    assert np.linalg.norm(robot.position - start - way) < 0.005
    np.testing.assert_allclose(turned.turn_to(robot.measured_pose()), [0.0, 0.0, 0.2], atol=0.02)
    positions = np.array([one.position for one in robot.measurements])
    speeds = np.linalg.norm(positions[5:] - positions[:-5], axis=1) / (5 * PERIOD)
    assert 0.5 * MAX_SPEED < speeds.max() < 1.15 * MAX_SPEED
    assert np.isfinite([number for message in robot.commands for number in numbers(message)]).all()
    robot.wait_for_simulated(0.5)
    assert np.linalg.norm(robot.position - start - way) < 0.005, 'it stays'
    robot.plan(*-way)
    robot.wait_for_rest()
    assert np.linalg.norm(robot.position - start) < 0.01, 'and back again'


def test_a_hold_stops_the_arm(robot) -> None:
    start, way = robot.position, robot.way()
    robot.plan(*way)
    robot.wait_for_motion(start)
    assert robot.graph.call(Trigger, 'e_stop').success
    robot.assert_it_stops_short_of(start + way)


def test_a_stream_that_ends_stops_the_arm(robot) -> None:
    start, way = robot.position, robot.way()
    robot.plan(*way)
    robot.wait_for_motion(start)
    for timer in robot.commander.timers:
        timer.cancel()  # as if the process hung
    robot.assert_it_stops_short_of(start + way)


@pytest.mark.parametrize('bad', ['position', 'quaternion', 'velocity'])
def test_nan_never_gets_out(robot, bad) -> None:
    here = robot.measurements[-1]
    good = {'position': here.position, 'quaternion': here.quaternion, 'velocity': np.zeros(3)}
    values = good | {bad: good[bad] * np.nan}
    target = Pose(values['position'], values['quaternion'])
    interface = robot.commander._interface
    for timer in robot.commander.timers:
        timer.cancel()  # the interface belongs to this thread from now on
    robot.wait_for_simulated(0.2)
    before = len(robot.commands)
    interface.send(target, Velocity(values['velocity'], np.zeros(3)))
    assert 'NaN' in interface.update(Pose(here.position, here.quaternion), moving=True)
    interface.hold(target)
    robot.wait_for_simulated(0.3)
    sent = [number for one in robot.commands[before:] for number in numbers(one)]
    assert np.isfinite(sent).all()
    if bad != 'velocity':
        assert not robot.commands[before:]


def test_a_second_publisher_is_noticed(robot) -> None:
    other = robot.graph.observer.create_publisher(
        command_message_type(robot.commander._config.value.command_interface),
        robot.topic,
        qos.COMMAND,
    )
    robot.graph.wait_for_status('commander', Status.STOPPED, 'observer')
    refused = robot.graph.call(Trigger, 'start')
    assert not refused.success
    assert robot.topic in refused.message
    robot.graph.observer.destroy_publisher(other)


def test_without_a_listener_no_motion_begins(graph) -> None:
    graph.begin(commander={**PATIENT, 'gripper': 'none', 'autostart': True})
    graph.start(CommanderNode())
    poses = graph.publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
    plans = graph.publisher(Plan, 'plan', qos.RESULT)
    position, quaternion = np.array([0.45, 0.0, 0.25]), np.array([1.0, 0.0, 0.0, 0.0])

    def header() -> Header:
        return Header(stamp=graph.now(), frame_id='fr3_link0')

    graph.observer.create_timer(
        0.02, lambda: poses.publish(conversions.pose_to_message(position, quaternion, header()))
    )
    graph.wait_until(lambda: graph.wait_for_status('commander', Status.IDLE).settled.sec, 'rest')
    state = conversions.state_from_pose(position, quaternion, 0.0)
    plans.publish(Plan(header=header(), horizon=1, actions=[0.05] + [0.0] * 6, state=state))
    graph.wait_for_status('commander', Status.HOLDING, 'nobody listens to /vjepa/target_pose')


def test_an_unknown_interface_is_named(graph) -> None:
    graph.begin(commander={'command_interface': 'twists'})
    with pytest.raises(UnknownNameError, match="Did you mean 'twist'"):
        graph.start(CommanderNode())


def test_joint_states_may_come_in_any_order() -> None:
    message = JointState(name=['b', 'finger', 'a'], position=[2.0, 0.04, 1.0])
    joints = conversions.joint_positions_from_message(message, ['a', 'b'])
    np.testing.assert_array_equal(joints, [1.0, 2.0])
    assert conversions.joint_positions_from_message(message, ['a', 'c']) is None
