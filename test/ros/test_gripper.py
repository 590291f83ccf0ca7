# SPDX-License-Identifier: Apache-2.0
"""Commander and simulator together move the gripper, through either kind of actions."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_ros import conversions, qos
from vjepa_ros.commander_node import CommanderNode

pytest.importorskip('mujoco')
from vjepa_ros.simulator_node import SimulatorNode

FINGERS = ('fr3_finger_joint1', 'fr3_finger_joint2')


@pytest.fixture(params=['franka_msgs', 'control_msgs', 'none'])
def robot(request, graph):
    if request.param != 'none':
        pytest.importorskip(request.param)
    patient = {'state_max_age': 5.0, 'plan_max_age': 20.0, 'max_tracking_error': 0.3}
    graph.begin(
        simulator={'image_size': 64, 'image_rate': 0.1},
        commander={**patient, 'autostart': True, 'gripper': request.param},
    )
    graph.start(SimulatorNode())
    commander = CommanderNode()
    graph.start(commander)
    graph.kind = request.param
    graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    graph.joints = graph.record(JointState, '/joint_states', qos.ROBOT_STATE)
    graph.plans = graph.publisher(Plan, 'plan', qos.RESULT)
    graph.wait_until(lambda: graph.joints and graph.poses, 'measurements')
    if request.param != 'none':
        graph.wait_until(lambda: commander._gripper.is_connected, 'action servers')
    return graph


def closedness(graph) -> float:
    return conversions.closedness_from_message(graph.joints[-1], FINGERS)


def send_change(graph, change: float) -> None:
    """Send a plan that only moves the gripper, if the commander may take one."""
    state = graph.status('commander')
    if state.settled.sec and state.state in (Status.IDLE, Status.HOLDING):
        pose = conversions.pose_from_message(graph.poses[-1])
        start = conversions.state_from_pose(*pose, closedness(graph))
        header = Header(stamp=graph.now(), frame_id='fr3_link0')
        actions = [0.0] * 6 + [change]
        graph.plans.publish(Plan(header=header, horizon=1, actions=actions, state=start))


def change_closedness(graph, change: float) -> None:
    """Send plans that only move the gripper until one is carried out."""
    accepted = graph.wait_for_status('commander', Status.IDLE).accepted

    def taken() -> bool:
        state = graph.status('commander')
        if state.accepted > accepted:
            return state.state == Status.IDLE
        send_change(graph, change)
        return False

    graph.wait_until(taken, 'a motion of the gripper')


def test_the_gripper_follows_the_plan_and_the_motion_ends_with_it(robot) -> None:
    moves = robot.kind != 'none'
    assert closedness(robot) < 0.05
    change_closedness(robot, 0.75)
    assert closedness(robot) == pytest.approx(0.75 if moves else 0.0, abs=0.05)
    change_closedness(robot, -0.5)
    assert closedness(robot) == pytest.approx(0.25 if moves else 0.0, abs=0.05)
    before = closedness(robot)
    change_closedness(robot, 0.05)
    assert closedness(robot) == pytest.approx(before, abs=0.02), 'below the dead band'


@pytest.mark.parametrize('service', ['e_stop', 'stop'])
def test_a_stop_also_stops_a_gripper_that_is_closing(robot, service: str) -> None:
    if robot.kind == 'none':
        return  # nothing moves
    robot.wait_for_status('commander', Status.IDLE)

    def closing() -> bool:
        send_change(robot, 0.75)
        return closedness(robot) > 0.08

    robot.wait_until(closing, 'a gripper that closes')
    assert robot.call(Trigger, service, Trigger.Request()).success
    stopped = closedness(robot)
    seen = len(robot.joints)
    robot.wait_until(lambda: len(robot.joints) > seen + 100, 'two more seconds')
    assert closedness(robot) < stopped + 0.15, 'at full speed it would have closed to 0.75'
