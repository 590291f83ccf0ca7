# SPDX-License-Identifier: Apache-2.0
"""The simulator behind the names of the real arm: it goes where it is told to go."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_ros import conversions, qos

pytest.importorskip('mujoco')
from vjepa_ros.simulator_node import SimulatorNode

FINGERS = ('fr3_finger_joint1', 'fr3_finger_joint2')


@pytest.fixture
def simulator(graph):
    graph.begin(simulator={'image_size': 64, 'image_rate': 10.0, 'seed': 1})
    return start(graph)


def start(graph):
    graph.node = SimulatorNode()
    graph.start(graph.node)
    graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    graph.joints = graph.record(JointState, '/joint_states', qos.ROBOT_STATE)
    graph.targets = graph.publisher(PoseStamped, 'target_pose', qos.COMMAND)
    graph.wait_until(lambda: graph.poses and graph.joints, 'measurements')
    return graph


def measured(graph) -> tuple[np.ndarray, np.ndarray]:
    return conversions.pose_from_message(graph.poses[-1])


def closedness(graph) -> float:
    return conversions.closedness_from_message(graph.joints[-1], FINGERS)


def test_images_come_with_their_calibration(simulator) -> None:
    images = simulator.record(Image, 'image', qos.IMAGE)
    infos = simulator.record(CameraInfo, 'camera_info', qos.IMAGE)
    simulator.wait_until(lambda: images and infos, 'image and camera info')
    image = conversions.image_from_message(images[0])
    assert image.shape == (64, 64, 3)
    assert image.std() > 5.0
    assert (infos[0].width, infos[0].k[2]) == (64, pytest.approx(32.0, abs=1.0))
    assert infos[0].header.frame_id == images[0].header.frame_id != ''


def test_joint_states_have_the_names_of_the_real_arm(simulator) -> None:
    message = simulator.joints[0]
    assert message.name == [f'fr3_joint{i}' for i in range(1, 8)] + list(FINGERS)
    assert len(message.position) == len(message.velocity) == 9
    assert simulator.poses[0].header.frame_id == 'fr3_link0'


def test_the_arm_goes_to_a_target_and_stays_when_targets_stop(simulator) -> None:
    position, quaternion = measured(simulator)
    goal = position + np.array([0.0, 0.02 if position[1] < 0 else -0.02, 0.02])
    header = Header(stamp=simulator.now(), frame_id='fr3_link0')
    simulator.targets.publish(conversions.pose_to_message(goal, quaternion, header))
    simulator.wait_until(lambda: np.linalg.norm(measured(simulator)[0] - goal) < 0.003, 'arrival')
    count = len(simulator.poses)
    simulator.wait_until(lambda: len(simulator.poses) > count + 25, 'half a second')
    assert np.linalg.norm(measured(simulator)[0] - goal) < 0.003


def test_a_target_that_is_no_pose_is_refused_and_the_arm_stays(simulator) -> None:
    position, quaternion = measured(simulator)
    header = Header(stamp=simulator.now(), frame_id='fr3_link0')
    bad = conversions.pose_to_message(position * np.nan, quaternion, header)
    simulator.targets.publish(bad)
    simulator.wait_for_status('simulator', Status.EXECUTING, 'The target before stays')
    elsewhere = conversions.pose_to_message(position, quaternion, Header(frame_id='camera'))
    simulator.targets.publish(elsewhere)
    simulator.wait_for_status('simulator', Status.EXECUTING, "frame 'camera'")
    assert np.linalg.norm(measured(simulator)[0] - position) < 0.002


def test_a_reset_with_the_same_seed_is_the_same_and_with_another_is_not(simulator) -> None:
    first = measured(simulator)[0]

    def reset(seed: int) -> np.ndarray:
        simulator.node.set_parameters([Parameter('seed', value=seed)])
        answer = simulator.call(Trigger, 'reset')
        assert answer.success
        assert f'seed {seed}' in answer.message
        count = len(simulator.poses)
        simulator.wait_until(lambda: len(simulator.poses) > count + 2, 'measurements')
        return measured(simulator)[0]

    assert np.linalg.norm(reset(2) - first) > 0.01
    assert np.linalg.norm(reset(1) - first) < 0.002


def test_the_gripper_closes_by_grasp_and_opens_by_move(simulator) -> None:
    action = pytest.importorskip('franka_msgs.action')
    grasp = action.Grasp.Goal(width=0.02, speed=0.1, force=20.0)
    grasp.epsilon.inner = grasp.epsilon.outer = 0.08
    answer = simulator.send_goal(action.Grasp, 'franka_gripper/grasp', grasp)
    assert answer.result.success, answer.result.error
    simulator.wait_until(lambda: abs(closedness(simulator) - 0.75) < 0.03, 'closed')
    answer = simulator.send_goal(
        action.Move, 'franka_gripper/move', action.Move.Goal(width=0.07, speed=0.1)
    )
    assert answer.result.success, answer.result.error
    simulator.wait_until(lambda: abs(closedness(simulator) - 0.125) < 0.03, 'open')
    answer = simulator.send_goal(action.Homing, 'franka_gripper/homing', action.Homing.Goal())
    assert answer.result.success, answer.result.error
    nothing = action.Grasp.Goal(width=0.05, speed=0.1, force=20.0)
    nothing.epsilon.inner = nothing.epsilon.outer = 0.005
    assert simulator.send_goal(action.Grasp, 'franka_gripper/grasp', nothing).result.success
    wrong = action.Move.Goal(width=0.05, speed=-1.0)
    answer = simulator.send_goal(action.Move, 'franka_gripper/move', wrong)
    assert not answer.result.success
    assert 'positive speed' in answer.result.error


def test_a_gripper_command_is_half_a_width(simulator) -> None:
    action = pytest.importorskip('control_msgs.action').GripperCommand
    goal = action.Goal()
    goal.command.position, goal.command.max_effort = 0.01, 20.0
    answer = simulator.send_goal(action, 'franka_gripper/gripper_action', goal)
    assert answer.result.reached_goal
    simulator.wait_until(lambda: abs(closedness(simulator) - 0.75) < 0.03, 'closed')
    goal.command.position = 0.06
    answer = simulator.send_goal(action, 'franka_gripper/gripper_action', goal)
    assert not answer.result.reached_goal, 'more than half of 0.08 m'


def test_with_a_clock_everything_is_stamped_with_simulated_time(graph) -> None:
    graph.begin(simulator={'image_size': 64, 'publish_clock': True, 'real_time_factor': 2.0})
    clocks = graph.record(Clock, '/clock', qos.CLOCK)
    start(graph)
    graph.wait_until(lambda: clocks and clocks[-1].clock.sec >= 1, 'clock')
    assert graph.poses[-1].header.stamp.sec < 1000
