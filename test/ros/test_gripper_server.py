# SPDX-License-Identifier: Apache-2.0
"""The gripper's actions, by the embedded simulator and by a position controller of the fingers."""

from __future__ import annotations

import threading

import pytest
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from vjepa_ros import conversions, qos

pytest.importorskip('mujoco')
franka = pytest.importorskip('franka_msgs.action')
franka_msgs = pytest.importorskip('franka_msgs.msg')
control = pytest.importorskip('control_msgs.action')

from vjepa_msgs.msg import Status  # noqa: E402
from vjepa_ros.gripper_node import GripperNode  # noqa: E402
from vjepa_ros.simulator_node import SimulatorNode  # noqa: E402

FINGERS = ('fr3_finger_joint1', 'fr3_finger_joint2')
COMMANDS = '/fr3_gripper_controller/commands'
PERIOD = 0.01  # [s]
SUCCEEDED, ABORTED = 4, 6  # action_msgs/GoalStatus


class PositionController:
    """Fingers that are at once where they are told to be, unless something is between them."""

    def __init__(self, graph, obstacle: float = 0.0) -> None:
        self.obstacle = obstacle  # [m] width of what is between the fingers
        self.commands: list[tuple[float, float]] = []  # time [s], position [m]
        self.position = 0.04
        self._time = 1_000_000_000  # [ns]
        node = graph.observer
        self._publisher = node.create_publisher(JointState, '/joint_states', qos.ROBOT_STATE)
        node.create_subscription(Float64MultiArray, COMMANDS, self._take, qos.COMMAND)
        node.create_timer(PERIOD, self._tick)

    def _take(self, message: Float64MultiArray) -> None:
        (position,) = message.data
        self.commands.append((self._time / 1e9, position))
        self.position = max(position, self.obstacle / 2)

    def _tick(self) -> None:
        self._time += round(PERIOD * 1e9)
        message = JointState(name=list(FINGERS), position=[self.position] * 2)
        message.header.stamp = conversions.stamp_from_nanoseconds(self._time)
        self._publisher.publish(message)


@pytest.fixture
def hand(graph):
    """Return a graph with the node ``gripper`` and a controller, of which it has seen joints."""
    graph.begin(gripper={'gripper_namespace': 'franka_gripper'})
    graph.controller = PositionController(graph)
    graph.start(GripperNode())
    graph.wait_for_status('gripper', Status.IDLE)
    return graph


@pytest.fixture(params=['simulator', 'controller'])
def gripper(request, graph):
    """Return the graph, whichever moves the fingers; ``graph.width()`` is the measured width."""
    if request.param == 'simulator':
        graph.begin(simulator={'image_size': 16, 'image_rate': 0.1})
        graph.start(SimulatorNode())
    else:
        request.getfixturevalue('hand')
    joints = graph.record(JointState, '/joint_states', qos.ROBOT_STATE)
    graph.wait_until(lambda: joints, 'joint states')
    graph.width = lambda: conversions.joint_positions_from_message(joints[-1], FINGERS).sum()
    return graph


def act(graph, action, name: str, **fields):
    """Return result and status of an action of the gripper."""
    answer = graph.send_goal(action, f'franka_gripper/{name}', action.Goal(**fields))
    return answer.result, answer.status


def test_move_goes_to_a_width_and_homing_opens(gripper):
    result, status = act(gripper, franka.Move, 'move', width=0.03, speed=0.1)
    assert (result.success, status) == (True, SUCCEEDED), result.error
    assert gripper.width() == pytest.approx(0.03, abs=0.002)
    result, status = act(gripper, franka.Homing, 'homing')
    assert (result.success, status) == (True, SUCCEEDED), result.error
    assert gripper.width() == pytest.approx(0.08, abs=0.002)


def test_a_gripper_command_is_half_the_width(gripper):
    goal = control.GripperCommand.Goal()
    goal.command.position = 0.02
    answer = gripper.send_goal(control.GripperCommand, 'franka_gripper/gripper_action', goal)
    assert answer.result.reached_goal
    assert gripper.width() == pytest.approx(0.04, abs=0.002)


def test_stop_ends_a_move_and_the_fingers_rest(gripper):
    client = ActionClient(gripper.observer, franka.Move, 'franka_gripper/move')
    gripper.wait_until(client.server_is_ready, 'the action move')
    sent = client.send_goal_async(franka.Move.Goal(width=0.0, speed=0.02))
    gripper.wait_until(lambda: gripper.width() < 0.07, 'a gripper that closes')
    assert gripper.call(Trigger, 'franka_gripper/stop').success
    result = sent.result().get_result_async()
    gripper.wait_until(result.done, 'the result of move')
    assert not result.result().result.success
    assert result.result().result.error == 'stopped'
    stopped = gripper.width()
    threading.Event().wait(0.5)  # at 0.02 m/s another centimetre
    assert gripper.width() == pytest.approx(stopped, abs=0.003)


# -- a controller ------------------------------------------------------------------------------


def test_a_grasp_holds_what_is_between_the_fingers(hand):
    hand.controller.obstacle = 0.05
    epsilon = franka_msgs.GraspEpsilon(inner=0.08, outer=0.08)
    fields = {'width': 0.0, 'speed': 0.1, 'force': 20.0, 'epsilon': epsilon}
    result, status = act(hand, franka.Grasp, 'grasp', **fields)
    assert (result.success, status) == (True, SUCCEEDED), result.error
    assert hand.controller.position == pytest.approx(0.025)
    hand.wait_until(lambda: hand.controller.commands[-1][1] == 0.0, 'fingers that go on pressing')


def test_a_grasp_of_something_of_another_width_fails_and_says_so(hand):
    hand.controller.obstacle = 0.05
    result, status = act(hand, franka.Grasp, 'grasp', width=0.02, speed=0.1, force=20.0)
    assert (result.success, status) == (False, ABORTED)
    assert 'nothing grasped: the width is 0.0500 m' in result.error


def test_the_set_point_moves_at_the_speed_that_was_asked(hand):
    act(hand, franka.Move, 'move', width=0.02, speed=0.05)
    hand.wait_until(lambda: hand.controller.commands[-1][1] == 0.01, 'the last command')
    (begin, first), (end, last) = hand.controller.commands[0], hand.controller.commands[-1]
    assert 2.0 * (first - last) / (end - begin) == pytest.approx(0.05, rel=0.1)


def test_without_joint_states_the_actions_fail_at_once(graph):
    graph.begin(gripper={'joint_states_topic': '/elsewhere'})
    graph.start(GripperNode())
    result, status = act(graph, franka.Move, 'move', width=0.03, speed=0.1)
    assert (result.success, status) == (False, ABORTED)
    assert 'no position of fr3_finger_joint1, fr3_finger_joint2 yet on /elsewhere' in result.error
    assert not graph.call(Trigger, 'franka_gripper/stop').success


@pytest.mark.parametrize('fields', [{'speed': 0.0}, {'width': float('nan')}])
def test_numbers_that_make_no_sense_move_nothing(hand, fields):
    result, _ = act(hand, franka.Move, 'move', **{'width': 0.03, 'speed': 0.1} | fields)
    assert 'finite width and positive speed' in result.error
    assert not hand.controller.commands
