# SPDX-License-Identifier: Apache-2.0
"""All nodes as processes: goal image in, motion of the simulated arm out, and clean ends."""

from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys

import cv2
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Goal, Plan, Status, SubGoal
from vjepa_msgs.srv import SetGoalImage, SetGoalSequence
from vjepa_ros import conversions, qos

pytest.importorskip('mujoco')

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'config' / 'simulation.yaml'


class Processes:
    """Executables of the package, each a process of its own."""

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, module: str, *arguments: str) -> subprocess.Popen:
        code = f'import sys; from vjepa_ros.{module} import main; sys.exit(main())'
        process = subprocess.Popen(
            [sys.executable, '-c', code, *arguments], stderr=subprocess.PIPE, text=True
        )
        self.running[module] = process
        return process

    def end(self, module: str, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Return exit code and error output of a process after a signal."""
        process = self.running.pop(module)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        return process.returncode, errors

    def close(self) -> None:
        for module, process in self.running.items():
            process.kill()
            sys.stdout.write(f'--- {module} ---\n{process.communicate()[1]}\n')


@pytest.fixture
def processes():
    processes = Processes()
    yield processes
    processes.close()


@pytest.fixture(params=['wall time'])
def robot(request, graph, processes, tiny_model, tmp_path):
    """Return the graph with simulator, encoder, goal, planner and commander running on it."""
    simulated = request.param == 'simulated time'
    arguments = graph.ros_arguments(
        tmp_path, {'encoder': {'model': str(tiny_model), 'device': 'cpu'}}
    )
    arguments += ['--params-file', str(CONFIG)]
    processes.start(
        'simulator_node', *arguments, '-p', 'image_size:=64', '-p', f'publish_clock:={simulated}'
    )
    processes.start('composed', *arguments, '-p', f'use_sim_time:={simulated}')
    graph.begin()
    graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    graph.plans = graph.record(Plan, 'plan', qos.RESULT)
    graph.wait_until(lambda: graph.poses, 'the simulator')
    graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    graph.wait_for_status('encoder', Status.EXECUTING)
    return graph


def position(graph) -> np.ndarray:
    return conversions.pose_from_message(graph.poses[-1])[0]


def set_goal(graph, **fields) -> SetGoalImage.Response:
    return graph.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(**fields))


def wait_for_motions(graph, count: int) -> Status:
    """Return the commander's status once it has moved the arm this many times more."""
    before = graph.status('commander').accepted

    def moved() -> Status | None:
        status = graph.status('commander')
        done = status.accepted >= before + count and status.state == Status.IDLE
        return status if done else None

    return graph.wait_until(moved, f'{count} motions')


def test_goals_move_the_arm_bad_ones_do_not_and_everything_ends_cleanly(
    robot, processes, camera_image, tmp_path
) -> None:
    start = position(robot)
    missing = set_goal(robot, path=str(tmp_path / 'missing.png'))
    assert not missing.success
    assert 'no image file' in missing.message
    assert np.linalg.norm(position(robot) - start) < 0.001, 'no goal, no motion'

    cv2.imwrite(str(tmp_path / 'goal.png'), camera_image)
    first = set_goal(robot, path=str(tmp_path / 'goal.png'))
    assert first.success, first.message
    status = wait_for_motions(robot, 3)
    assert status.goal_id == first.goal_id
    assert np.linalg.norm(position(robot) - start) > 0.005

    second = set_goal(robot, image=conversions.image_to_message(camera_image, Header()))
    assert second.success, second.message
    robot.wait_until(lambda: robot.plans[-1].goal_id == second.goal_id, 'a plan for the new goal')
    assert wait_for_motions(robot, 1).goal_id == second.goal_id

    assert robot.call(Trigger, 'stop').success
    robot.wait_for_status('commander', Status.STOPPED)
    robot.wait_until(lambda: robot.status('commander').settled.sec, 'rest')
    held = position(robot)
    count = len(robot.poses)
    robot.wait_until(lambda: len(robot.poses) > count + 50, 'a second')
    assert np.linalg.norm(position(robot) - held) < 0.002

    for module, number in (('composed', signal.SIGINT), ('simulator_node', signal.SIGTERM)):
        code, errors = processes.end(module, number)
        assert code == 0
        assert 'Traceback' not in errors
        assert 'never retrieved' not in errors


def test_each_goal_of_a_sequence_gets_its_number_of_actions(robot) -> None:
    sub_goals = []
    for seed, max_actions in enumerate((2, 1, 2)):
        image = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        message = conversions.image_to_message(image, Header())
        sub_goals.append(SubGoal(image=message, max_actions=max_actions))
    begun: list[tuple[str, int]] = []

    def watch(status: Status) -> None:
        if status.node == 'commander' and (status.goal_id, status.accepted) not in begun:
            begun.append((status.goal_id, status.accepted))

    robot.observer.create_subscription(Status, 'status', watch, qos.ALL_STATUS)
    request = SetGoalSequence.Request(sub_goals=sub_goals)
    answer = robot.call(SetGoalSequence, 'set_goal_sequence', request)
    assert answer.success, answer.message
    robot.wait_for_status('goal', Status.IDLE, 'all 3 sub-goals')
    wait_for_motions(robot, 1)  # towards the last goal, which stays
    first, second, third = answer.goal_ids
    motions = [goal_id for goal_id, accepted in begun if accepted > 0]
    assert motions[:5] == [first, first, second, third, third]
    assert set(motions[5:]) <= {third}


@pytest.mark.parametrize('robot', ['simulated time'], indirect=True)
def test_the_captured_image_is_a_goal_also_in_simulated_time(robot) -> None:
    goals = robot.record(Goal, 'goal', qos.GOAL)
    images = robot.record(Image, 'image', qos.IMAGE)
    robot.wait_until(lambda: images, 'image')
    answer = robot.call(Trigger, 'capture_goal')
    assert answer.success, answer.message
    robot.wait_until(lambda: goals, 'goal')
    robot.wait_until(lambda: robot.plans, 'plan')
    assert robot.plans[0].goal_id == goals[0].goal_id
    assert robot.plans[0].header.stamp.sec < 1000
    wait_for_motions(robot, 1)


@pytest.mark.parametrize(
    ('module', 'parameter', 'complaint'),
    [
        ('planner_node', 'model:=no/such/model', 'no model at no/such/model'),
        ('encoder_node', 'model:=franka-sym', "unknown model 'franka-sym'"),
        ('commander_node', 'max_speed:=99.0', 'max_speed'),
        ('commander_node', 'gripper:=robotiq', "unknown gripper 'robotiq'"),
        ('simulator_node', 'renderer:=povray', 'povray'),
    ],
)
def test_a_wrong_parameter_ends_a_node_with_one_clear_line(
    processes, module, parameter, complaint
) -> None:
    process = processes.start(module, '--ros-args', '-p', parameter)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint in errors
    assert 'Traceback' not in errors
    assert len([line for line in errors.splitlines() if 'FATAL' in line]) == 1
