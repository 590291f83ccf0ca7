# SPDX-License-Identifier: Apache-2.0
"""``vjepa eval --through ros``: the nodes do what the library does, and end in order."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

pytest.importorskip('mujoco')
pytest.importorskip('onnxruntime')
pytest.importorskip('matplotlib')
pytest.importorskip('imageio_ffmpeg')

from vjepa_msgs.msg import Plan, Status
from vjepa_msgs.srv import ArrangeTask, JudgeTask
from vjepa_planner.cli import main
from vjepa_planner.evaluation import find_task
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.evaluation.episode_log import EpisodeLog
from vjepa_ros.evaluation.run import temporary_folder
from vjepa_ros.simulator_node import SimulatorNode

SEED, EPISODES = 810_006, 2  # with short steps, the first goal is in reach and the second is not
LOOKS = ('colors', 'lights', 'camera')
ARGUMENTS = ('eval', '--episodes', str(EPISODES), '--seed', str(SEED), '--vary', ','.join(LOOKS))
# Fewer candidates than recommended: quicker, and as good as that on these two.
SETTINGS = {'num_samples': 32, 'num_iterations': 3, 'max_translation': 0.013}
PLANNER = (
    '--backend',
    'onnxruntime',
    *(word for name, value in SETTINGS.items() for word in ('--set', f'{name}={value}')),
)
END_TO_END = pytest.mark.timeout(600)  # about 40 s on an idle computer
TIMEOUT = 400.0  # [s] for a process


# -- the services of the simulator -------------------------------------------------------------


@pytest.fixture
def simulator(graph):
    graph.begin(simulator={'image_size': 64, 'image_rate': 10.0, 'vary': list(LOOKS)})
    graph.start(SimulatorNode())
    return graph


def arrange(graph, task: str, seed: int) -> ArrangeTask.Response:
    request = ArrangeTask.Request(task=task, seed=seed)
    return graph.call(ArrangeTask, 'simulator/arrange_task', request)


def judge(graph, *, final: bool = True) -> JudgeTask.Response:
    return graph.call(JudgeTask, 'simulator/judge_task', JudgeTask.Request(final=final))


@pytest.mark.parametrize('name', ['reach', 'reach_with_cup', 'pick_place_box'])
def test_goals_and_start_are_those_of_the_library_whatever_ran_before(simulator, name) -> None:
    arrange(simulator, 'grasp_cup', 7)
    answer = arrange(simulator, name, SEED)
    assert answer.success, answer.message
    config = SimulationConfig(image_size=64, vary=frozenset(LOOKS))
    simulation, task = FrankaSimulation(config), find_task(name)
    goal = task.start(simulation, SEED)
    assert answer.names == [part.name for part in goal.sub_goals]
    for shown, part in zip(answer.sub_goals, goal.sub_goals, strict=True):
        np.testing.assert_array_equal(conversions.image_from_message(shown.image), part.image)
        assert shown.max_actions == part.max_actions
    np.testing.assert_array_equal(answer.position, goal.position)
    images = simulator.record(Image, 'image', QoSProfile(depth=10))
    simulator.wait_until(lambda: images, 'an image of the start')
    start = conversions.image_from_message(images[0]).astype(int)
    assert np.abs(start - simulation.render()).mean() < 0.5  # time passes in the node
    judgement = judge(simulator)
    assert not judgement.succeeded
    np.testing.assert_allclose(judgement.position, task.position(simulation), atol=0.002)
    assert judgement.distance == pytest.approx(task.distance(simulation, goal), abs=0.002)


def test_the_judge_sees_the_arm_arrive(simulator) -> None:
    answer = arrange(simulator, 'reach', SEED)
    poses = simulator.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    simulator.wait_until(lambda: poses, 'pose')
    _, quaternion = conversions.pose_from_message(poses[-1])
    target = answer.position + np.array([0.0, 0.0, 0.03])
    header = Header(stamp=simulator.now(), frame_id='fr3_link0')
    targets = simulator.publisher(PoseStamped, 'target_pose', qos.COMMAND)
    assert not judge(simulator).succeeded
    targets.publish(conversions.pose_to_message(target, quaternion, header))
    simulator.wait_until(lambda: judge(simulator).succeeded, 'success')
    simulator.wait_until(lambda: abs(judge(simulator).distance - 0.03) < 0.002, 'arrival')


def test_only_the_final_judgement_of_a_grasp_raises_the_hand(simulator) -> None:
    arrange(simulator, 'grasp_cup', SEED)
    start = judge(simulator, final=False)
    for _ in range(3):
        again = judge(simulator, final=False)
        np.testing.assert_allclose(again.position, start.position, atol=0.002)
        assert not again.succeeded
    final = judge(simulator)
    assert not final.succeeded
    assert final.distance == pytest.approx(start.distance, abs=0.002), 'before the hand is raised'
    raised = judge(simulator, final=False).position
    assert raised[2] > start.position[2] + 0.03


def test_without_a_task_there_is_nothing_to_judge(simulator) -> None:
    assert 'call arrange_task first' in judge(simulator).message
    assert arrange(simulator, 'reach', SEED).success
    refused = arrange(simulator, 'grasp_cups', SEED)
    assert not refused.success
    assert "Did you mean 'grasp_cup'" in refused.message
    assert judge(simulator).success, 'a refused task changes nothing'
    assert simulator.call(Trigger, 'reset').success
    assert not judge(simulator).success


# -- the log of an episode ---------------------------------------------------------------------


def log_with(*messages: Status) -> EpisodeLog:
    """Return the log of an episode of two actions, of a commander that had begun five before."""
    log = EpisodeLog(['a', 'b'], budget=2, accepted=5)
    for message in messages:
        log.take_status(message)
    return log


def commander(state: int, actions: int) -> Status:
    """Return what the commander says of the plan whose image was taken at this second."""
    status = Status(node='commander', state=state, accepted=5 + actions)
    status.plan_stamp.sec = actions
    status.settled.sec = 0 if state == Status.EXECUTING else 1
    return status


def test_only_plans_that_moved_the_arm_are_actions() -> None:
    log = log_with()
    for second, goal_id in ((1, 'a'), (2, 'b'), (3, 'b')):
        plan = Plan(goal_id=goal_id, current_energy=second / 10)
        plan.header.stamp.sec = second
        log.take_image(second * 10**9, np.full((2, 2, 3), second, np.uint8))
        if second == 2:
            continue  # it is late: the commander is heard before
        log.take_plan(plan, received=second * 10**9 + 5 * 10**8)
    assert (log.actions, log.rests) == (0, 1)
    log.take_status(commander(Status.EXECUTING, 1))
    assert (log.actions, log.rests) == (1, 1)
    log.take_status(commander(Status.IDLE, 1))
    assert (log.actions, log.rests) == (1, 2)
    log.take_status(commander(Status.EXECUTING, 2))
    log.take_status(commander(Status.IDLE, 2))
    assert not log.is_complete
    late = Plan(goal_id='b', current_energy=0.2)
    late.header.stamp.sec = 2
    log.take_plan(late, received=4 * 10**9)
    assert log.is_complete
    assert log.energies == (0.1, 0.2)
    assert log.seconds == (0.5, 2.0)
    assert log.sub_goals == (0, 1)
    assert [image[0, 0, 0] for image in log.images] == [1, 2]


@pytest.mark.parametrize(
    ('messages', 'complaint'),
    [
        ([commander(Status.EXECUTING, 2)], 'what it said was lost'),
        ([commander(Status.IDLE, -5)], 'it was started again'),
        ([commander(Status.EXECUTING, n) for n in (1, 2, 3)], 'goes on after all 2 actions'),
    ],
)
def test_a_commander_that_cannot_be_followed_is_an_error(messages, complaint) -> None:
    with pytest.raises(NodesError, match=complaint):
        log_with(*messages)


# -- logs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('error', 'stays'), [(NodesError('see the log'), True), (KeyboardInterrupt(), False)]
)
def test_temporary_logs_stay_only_if_an_error_may_name_them(error, stays) -> None:
    manager = temporary_folder()
    folder = manager.__enter__()
    assert not manager.__exit__(type(error), error, None), 'the error goes on'
    assert folder.is_dir() == stays
    shutil.rmtree(folder, ignore_errors=True)


# -- the whole ---------------------------------------------------------------------------------


def start_evaluation(*arguments: str) -> subprocess.Popen[str]:
    """Start ``vjepa eval --through ros`` in a process group of its own, as a shell does."""
    code = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'
    return subprocess.Popen(
        [sys.executable, '-c', code, *ARGUMENTS, '--through', 'ros', *PLANNER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def running(text: str) -> dict[int, str]:
    """Return the command lines that contain a text, by process."""
    found = {}
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:  # it has ended meanwhile
            continue
        if text in command:
            found[int(path.parent.name)] = command
    return found


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Return when the progress of an evaluation contains a text."""
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f'it ended without {text!r}')


def wait_for_node(logs: Path, name: str) -> int:
    """Return the process of a node whose logs are there."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        for process, command in running(f'vjepa_ros.{name}_node').items():
            if str(logs) in command:
                return process
        time.sleep(0.05)
    raise AssertionError(f'no process of the node {name}')


@END_TO_END
def test_the_nodes_succeed_and_fail_where_the_library_does(tmp_path) -> None:
    process = start_evaluation('--out', str(tmp_path / 'ros'), '--videos', '1')
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert main([*ARGUMENTS, *PLANNER, '--json', str(tmp_path / 'library.json')]) == 0
    ros = json.loads((tmp_path / 'ros' / 'report.json').read_text())
    library = json.loads((tmp_path / 'library.json').read_text())
    assert (ros['through'], library['through']) == ('ros', 'library')
    for name in ('task', 'model', 'planner', 'episodes', 'vary', 'planner_settings', 'ci95'):
        assert ros[name] == library[name], name
    for one, other in zip(ros['results'], library['results'], strict=True):
        assert (one['seed'], one['success']) == (other['seed'], other['success'])
        for name in ('distances', 'energies', 'seconds', 'sub_goals'):
            assert len(one[name]) == len(other[name]), name
        # What is seen first is the same but for the time that passes; later, plans differ a bit.
        assert one['energies'][0] == pytest.approx(other['energies'][0], rel=0.05)
        assert one['distances'][0] == pytest.approx(other['distances'][0], abs=0.003)
        assert one['distances'][-1] == pytest.approx(other['distances'][-1], abs=0.025)
        assert min(one['seconds']) > 0.0
    assert {result['success'] for result in ros['results']} == {True, False}
    assert 'report.md' in output
    assert f'{EPISODES}/{EPISODES}' in errors  # progress
    for name in ('curves.png', f'success-{SEED}.mp4', f'failure-{SEED + 1}.mp4'):
        assert (tmp_path / 'ros' / name).stat().st_size > 1000, name
    assert not running(str(tmp_path))


@END_TO_END
def test_a_planner_that_is_killed_ends_everything_with_a_word_about_it(tmp_path) -> None:
    process = start_evaluation('--out', str(tmp_path))
    wait_for_line(process, 'action 1/')
    os.kill(wait_for_node(tmp_path, 'planner'), signal.SIGKILL)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert re.search(r'the process planner ended by itself \(SIGKILL\)', errors)
    assert str(tmp_path / 'logs' / 'planner.log') in errors
    assert 'Traceback' not in errors
    assert not running(str(tmp_path))


@END_TO_END
@pytest.mark.parametrize(
    ('number', 'moment'), [(signal.SIGINT, 'action 1/'), (signal.SIGTERM, 'waiting for')]
)
def test_ctrl_c_and_the_like_end_all_nodes(number, moment, tmp_path) -> None:
    process = start_evaluation('--out', str(tmp_path))
    wait_for_line(process, moment)
    assert wait_for_node(tmp_path, 'commander')
    os.killpg(process.pid, number)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert 'vjepa eval: interrupted' in errors
    assert 'Traceback' not in errors
    assert not running(str(tmp_path))
