# SPDX-License-Identifier: Apache-2.0
"""What the command interfaces say to a controller, and what they refuse to say."""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError, MissingDependencyError, UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.robots.kinematics import ArmKinematics
from vjepa_ros import conversions, qos
from vjepa_ros.command_interfaces import make_command_interface
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import Pose, Velocity

EVERY = QoSProfile(depth=100)
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
HERE = Pose(np.array([0.45, 0.0, 0.25]), DOWN)
HOME = np.array(fr3.HOME_JOINT_POSITIONS)


def make(graph, name: str, state_max_age: float = 10.0, **parameters: object):
    """Return an interface on the observer, with these parameters ``<name>.<setting>``."""
    graph.begin(observer={f'{name}.{setting}': value for setting, value in parameters.items()})
    limits = GateConfig(state_max_age=state_max_age)
    return make_command_interface(graph.observer, name, 'fr3_link0', limits)


def moved(pose: Pose, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Pose:
    return Pose(pose.position + np.array([x, y, z]), pose.quaternion)


def forward(speed: float) -> Velocity:
    return Velocity(np.array([speed, 0.0, 0.0]), np.zeros(3))


def pose_at(joints: np.ndarray) -> Pose:
    posture = ArmKinematics().posture(joints)
    return Pose(posture.position, geometry.matrix_to_quaternion_xyzw(posture.rotation))


# -- CRISP -------------------------------------------------------------------------------------


def test_crisp_gets_poses_in_the_root_of_its_robot_under_the_name_of_its_frame(graph) -> None:
    ceiling = [0.0, 0.0, 2.0, np.pi, 0.0, 0.0]
    crisp = make(graph, 'crisp', frame_id='world', base_in_root=ceiling)
    targets = graph.record(PoseStamped, '/target_pose', qos.COMMAND)
    graph.wait_until(crisp._publisher.get_subscription_count, 'a subscriber')
    crisp.send(HERE, Velocity.zero())
    graph.wait_until(lambda: targets, 'a target')
    position, quaternion = conversions.pose_from_message(targets[0])
    assert targets[0].header.frame_id == 'world'
    np.testing.assert_allclose(position, [0.45, 0.0, 1.75], atol=1e-9)
    np.testing.assert_allclose(abs(quaternion), [0.0, 0.0, 0.0, 1.0], atol=1e-9)


def test_crisp_needs_six_numbers_of_its_frame(graph) -> None:
    with pytest.raises(InvalidInputError, match='six finite numbers'):
        make(graph, 'crisp', base_in_root=[0.0, 0.0, 1.0])


# -- velocities --------------------------------------------------------------------------------


@pytest.fixture
def twist(graph):
    interface = make(graph, 'twist')
    interface.sent = graph.record(TwistStamped, 'target_twist', EVERY)
    graph.wait_until(interface._publisher.get_subscription_count, 'a subscriber')
    return interface


def last_velocity(graph, twist, count: int) -> Velocity:
    graph.wait_until(lambda: len(twist.sent) >= count, f'{count} velocities')
    assert len(twist.sent) == count
    return conversions.velocity_from_message(twist.sent[-1])


def test_a_twist_is_the_velocity_of_the_motion_plus_a_bounded_correction(graph, twist) -> None:
    twist.send(HERE, forward(0.1))
    twist.update(moved(HERE, 0.0, 0.01), moving=True)
    velocity = last_velocity(graph, twist, 1)
    np.testing.assert_allclose(velocity.linear, [0.1, -0.02, 0.0], atol=1e-9)
    twist.update(moved(HERE, 0.0, 0.2), moving=True)
    velocity = last_velocity(graph, twist, 2)
    np.testing.assert_allclose(velocity.linear, [0.1, -0.05, 0.0], atol=1e-9)


def test_motion_and_correction_together_keep_the_limits(graph, twist) -> None:
    twist.send(HERE, Velocity(np.array([0.25, 0.0, 0.0]), np.array([0.0, 0.0, 0.6])))
    turned = Pose(HERE.position - 0.1, geometry.euler_to_quaternion_xyzw((np.pi, 0.0, -1.0)))
    twist.update(turned, moving=True)
    velocity = last_velocity(graph, twist, 1)
    assert np.linalg.norm(velocity.linear) == pytest.approx(0.25)
    assert np.linalg.norm(velocity.angular) == pytest.approx(0.6)
    twist.limits = GateConfig(max_speed=0.05)
    twist.update(turned, moving=True)
    assert np.linalg.norm(last_velocity(graph, twist, 2).linear) == pytest.approx(0.05)


def test_a_hold_is_one_velocity_of_zero_and_then_silence(graph, twist) -> None:
    twist.send(HERE, forward(0.1))
    twist.update(HERE, moving=True)
    twist.hold(HERE)
    twist.update(HERE, moving=False)
    twist.hold(HERE)
    velocity = last_velocity(graph, twist, 2)
    assert not velocity.linear.any()
    assert not velocity.angular.any()


# -- MoveIt Servo ------------------------------------------------------------------------------


class FakeServo:
    """Servo's service and status on the observer."""

    def __init__(self, graph) -> None:
        from moveit_msgs.msg import ServoStatus
        from moveit_msgs.srv import ServoCommandType

        self.graph = graph
        self.asked: list[int] = []
        self._type = ServoCommandType
        self._status = ServoStatus
        self._publisher = graph.observer.create_publisher(
            ServoStatus, '/servo_node/status', qos.ROBOT_STATE_SOURCE
        )
        self.start()

    def start(self) -> None:
        self._service = self.graph.observer.create_service(
            self._type, '/servo_node/switch_command_type', self._switch
        )

    def stop(self) -> None:
        self.graph.observer.destroy_service(self._service)

    def report(self, code: int) -> None:
        self._publisher.publish(self._status(code=code, message='said Servo'))

    def _switch(self, request, response):
        self.asked.append(request.command_type)
        response.success = True
        return response


@pytest.fixture(params=['servo_twist', 'servo_pose'])
def servo(request, graph):
    pytest.importorskip('moveit_msgs')
    interface = make(graph, request.param)
    interface.command_type = {'servo_twist': 1, 'servo_pose': 2}[request.param]
    return interface


def is_ready(interface) -> bool:
    interface.update(HERE, moving=False)
    try:
        interface.check(HERE)
    except InvalidInputError:
        return False
    return True


def test_servo_is_switched_when_it_comes_and_when_it_comes_again(graph, servo) -> None:
    servo.update(HERE, moving=False)
    with pytest.raises(InvalidInputError, match='/servo_node/switch_command_type'):
        servo.check(HERE)
    fake = FakeServo(graph)
    graph.wait_until(lambda: is_ready(servo), 'Servo is switched')
    assert fake.asked == [servo.command_type]
    fake.stop()
    graph.wait_until(lambda: not is_ready(servo), 'Servo is gone')
    fake.start()
    graph.wait_until(lambda: is_ready(servo), 'Servo is switched again')
    assert fake.asked == [servo.command_type] * 2


@pytest.mark.parametrize(
    ('code', 'reason'),
    [(2, 'HALT_FOR_SINGULARITY'), (5, 'HALT_FOR_COLLISION'), (6, 'JOINT_BOUND'), (-1, 'INVALID')],
)
def test_a_halt_of_servo_is_a_reason_to_hold_this_motion_only(graph, servo, code, reason) -> None:
    fake = FakeServo(graph)
    graph.wait_until(fake._publisher.get_subscription_count, 'a subscriber')
    servo.update(HERE, moving=False)
    fake.report(code)  # of the motion before
    time.sleep(0.1)
    assert not servo.update(HERE, moving=True)
    time.sleep(0.4)

    def said() -> str:
        fake.report(code)
        return servo.update(HERE, moving=True)

    assert reason in graph.wait_until(said, 'a reason')
    servo.update(HERE, moving=False)
    assert not servo.update(HERE, moving=True)


def test_slowing_down_is_no_halt(graph, servo) -> None:
    fake = FakeServo(graph)
    graph.wait_until(fake._publisher.get_subscription_count, 'a subscriber')
    servo.update(HERE, moving=True)
    time.sleep(0.4)
    for code in (0, 1, 3, 4):
        fake.report(code)
    time.sleep(0.3)
    assert not servo.update(HERE, moving=True)


@pytest.mark.parametrize('name', ['servo_twist', 'servo_pose'])
def test_without_its_messages_servo_says_what_to_install(graph, monkeypatch, name) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'moveit_msgs.srv', None)
    with pytest.raises(MissingDependencyError, match='ros-jazzy-moveit-msgs'):
        make(graph, name)


# -- joints ------------------------------------------------------------------------------------


class Joints:
    """An interface of joint trajectories, and joints that the observer publishes."""

    def __init__(self, graph, **parameters: object) -> None:
        trajectory_msgs = pytest.importorskip('trajectory_msgs.msg')
        self.graph = graph
        self.interface = make(graph, 'joint_trajectory', **parameters)
        self.sent = graph.record(
            trajectory_msgs.JointTrajectory,
            '/fr3_arm_controller/joint_trajectory',
            EVERY,
        )
        self._states = graph.publisher(JointState, '/joint_states', qos.ROBOT_STATE_SOURCE)
        graph.wait_until(self.interface._publisher.get_subscription_count, 'a subscriber')

    def measure(self, joints: np.ndarray, names: tuple[str, ...] = fr3.ARM_JOINT_NAMES) -> None:
        """Publish joints, last one first and with the fingers, until they are known."""
        order = [*names, *fr3.FINGER_JOINT_NAMES][::-1]
        message = JointState(name=order, position=[*joints, 0.04, 0.04][::-1])

        def is_known() -> bool:
            self._states.publish(message)
            return set(order) <= self.interface._seen

        self.graph.wait_until(is_known, 'joint states')

    def command(self, target: Pose, velocity: Velocity | None = None) -> str:
        """Send a target and return what is wrong with it."""
        self.interface.send(target, velocity or Velocity.zero())
        return self.interface.update(target, moving=True)


@pytest.fixture
def joints(graph) -> Joints:
    return Joints(graph)


def test_a_target_becomes_joints_that_reach_it_and_then_stop(graph, joints) -> None:
    joints.measure(HOME)
    target = moved(pose_at(HOME), 0.004)
    assert not joints.command(target, forward(0.1))
    graph.wait_until(lambda: joints.sent, 'a trajectory')
    trajectory = joints.sent[0]
    assert tuple(trajectory.joint_names) == fr3.ARM_JOINT_NAMES
    first, last = trajectory.points
    assert pose_at(np.array(first.positions)).distance(target) < 1e-4
    assert pose_at(np.array(last.positions)).distance(moved(target, 0.005)) < 1e-3
    twist = ArmKinematics().posture(np.array(first.positions)).jacobian @ first.velocities
    np.testing.assert_allclose(twist, [0.1, 0.0, 0.0, 0.0, 0.0, 0.0], atol=2e-3)
    assert not any(last.velocities), 'a controller of ROS 2 Jazzy refuses anything else'
    assert first.time_from_start.nanosec == 40_000_000
    assert last.time_from_start.nanosec == 140_000_000


def test_a_hold_is_where_the_joints_are_measured(graph, joints) -> None:
    joints.measure(HOME)
    joints.interface.hold(HERE)
    graph.wait_until(lambda: joints.sent, 'a trajectory')
    (point,) = joints.sent[0].points
    np.testing.assert_allclose(point.positions, HOME)
    assert not any(point.velocities)


def test_joint_names_that_are_missing_are_listed(joints) -> None:
    with pytest.raises(InvalidInputError, match='no recent joint states of the arm'):
        joints.interface.check(None)
    names = ('panda_joint1', 'panda_joint2', *fr3.ARM_JOINT_NAMES[2:])
    joints.measure(HOME, names)
    with pytest.raises(InvalidInputError, match=r'have no fr3_joint1, fr3_joint2, but .*panda_'):
        joints.interface.check(None)
    assert 'fr3_joint1' in joints.command(HERE)
    joints.measure(HOME)
    joints.interface.check(pose_at(HOME))


def test_old_joint_states_do_not_count(graph) -> None:
    joints = Joints(graph, state_max_age=0.05)
    joints.measure(HOME)
    time.sleep(0.2)
    with pytest.raises(InvalidInputError, match='no recent joint states'):
        joints.interface.check(pose_at(HOME))


def test_the_measured_pose_of_another_frame_is_noticed(joints) -> None:
    joints.measure(HOME)
    flange = ArmKinematics('fr3_link8').posture(HOME)
    pose = Pose(flange.position, geometry.matrix_to_quaternion_xyzw(flange.rotation))
    with pytest.raises(InvalidInputError, match=r'0\.103 m .* is it the pose of another frame'):
        joints.interface.check(pose)


def test_a_joint_does_not_come_near_its_limit_but_may_come_back(graph, joints) -> None:
    bent = HOME.copy()
    bent[3] = -2.90  # the limit is -3.04 rad and the margin 0.1 rad
    joints.measure(bent)
    inwards = moved(pose_at(bent), -0.04)
    reason = ''
    for share in np.linspace(0.0, 1.0, 20):
        target = Pose(
            pose_at(bent).position * (1 - share) + share * inwards.position, inwards.quaternion
        )
        reason = joints.command(target)
        if reason:
            break
    assert 'near a joint limit: fr3_joint4' in reason
    graph.wait_until(lambda: joints.sent, 'trajectories')
    assert min(point.positions[3] for one in joints.sent for point in one.points) >= -2.9421
    joints.interface.update(None, moving=False)
    bent[3] = -2.99
    joints.measure(bent)
    graph.wait_until(lambda: joints.interface._joints()[3] < -2.98, 'the joints')
    assert not joints.command(moved(pose_at(bent), 0.003))


def test_near_a_singularity_nothing_is_sent(graph, joints) -> None:
    stretched = ArmKinematics().solve(HOME, np.array([0.79, 0.0, 0.2]), DOWN, 200).joints
    joints.measure(stretched)
    here = pose_at(stretched)
    reasons = [joints.command(moved(here, 0.002 * step)) for step in range(1, 10)]
    assert any('near a singularity' in reason for reason in reasons)
    sent = len(joints.sent)
    assert 'near a singularity' in joints.command(moved(here, 0.02))
    time.sleep(0.2)
    assert len(joints.sent) <= sent + 9


def test_a_joint_that_would_turn_too_fast_and_a_target_out_of_reach_are_refused(joints) -> None:
    joints.measure(HOME)
    assert 'would turn at' in joints.command(pose_at(HOME), forward(1.5))
    assert 'do not reach' in joints.command(moved(pose_at(HOME), 0.0, 0.4))
    time.sleep(0.2)
    assert not joints.sent


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'joint_names': ['a', 'b']}, 'joint_names must have 7 entries'),
        ({'joint_lower_limits': [1.0] * 7}, 'leave nothing between them'),
        ({'joint_speed_limits': [0.0] * 7}, 'must be positive'),
    ],
)
def test_settings_of_the_joints_must_fit(graph, parameters, reason) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        make(graph, 'joint_trajectory', **parameters)


def test_a_hand_that_is_not_known_is_refused(graph) -> None:
    with pytest.raises(UnknownNameError, match='hand_tcp'):
        make(graph, 'joint_trajectory', ee_frame='fr3_robotiq')


def test_without_its_messages_it_says_what_to_install(graph, monkeypatch) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'trajectory_msgs.msg', None)
    with pytest.raises(MissingDependencyError, match='ros-jazzy-trajectory-msgs'):
        make(graph, 'joint_trajectory')
