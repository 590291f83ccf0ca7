# SPDX-License-Identifier: Apache-2.0
"""The demonstration: how it judges, what it leaves behind, and how it ends."""

from __future__ import annotations

import argparse
from dataclasses import replace
import io
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('mujoco')
pytest.importorskip('torch')
pytest.importorskip('matplotlib')
pytest.importorskip('imageio_ffmpeg')

from vjepa_planner.cli.demo import add_options
from vjepa_planner.errors import MissingDependencyError, VjepaPlannerError
from vjepa_planner.evaluation.reach import MAX_ACTIONS, ReachTask
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.video_file import VideoError
from vjepa_ros.child_nodes import requirements
from vjepa_ros.child_nodes.domain import reserved_domain_id
from vjepa_ros.child_nodes.environment import find_transport_profile
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.processes import NodeProcesses
from vjepa_ros.demo.config import DemoConfig, DemoFiles
from vjepa_ros.demo.display import Display
from vjepa_ros.demo.painter import HEIGHT, Painter, WIDTH
from vjepa_ros.demo.plot import plot_energy
from vjepa_ros.demo.pursuit import Pursuit, Step
from vjepa_ros.demo.recording import Recording
from vjepa_ros.demo.report import failure_line, make_result, make_table
from vjepa_ros.demo.scene import make_goals
from vjepa_ros.demo.video import write_episode

SECOND = 1_000_000_000
FAR, NEAR = 0.2, 0.03  # [m]
END_TO_END = pytest.mark.timeout(600)  # processes that load torch, on a computer that may be busy
TIMEOUT = 240.0  # [s] for one of their steps


def make_pursuit(*steps: tuple[float, float], max_actions: int = 15, number: int = 1) -> Pursuit:
    """Return a pursuit with these energies and distances [m], one action apart."""
    begin = 10 * SECOND * number
    pursuit = Pursuit(
        number=number,
        goal_id=f'goal-{number}-abcd',
        given_as='image',
        position=np.array([0.5, 0.0, 0.2]),
        max_actions=max_actions,
        begin=begin,
        end=begin + 2 * SECOND * len(steps),
    )
    for actions, (energy, distance) in enumerate(steps):
        stamp = begin + 2 * SECOND * actions
        pursuit.add(
            Step(
                actions=actions,
                stamp=stamp,
                energy=energy,
                distance=distance,
                planning=0.5,
                latency=0.6,
            )
        )
    return pursuit


def default_config(**changes) -> DemoConfig:
    """Return what ``vjepa demo`` runs without options, with some changes."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return DemoConfig(**(vars(parser.parse_args([])) | changes))


# -- the judge ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('steps', 'outcome'),
    [
        ([], None),
        ([(0.5, FAR)], None),
        ([(0.5, NEAR)], None),  # an arm that has not moved has reached nothing
        ([(0.5, FAR), (0.4, FAR)], None),
        ([(0.5, FAR), (0.4, NEAR)], None),  # it may still be passing by
        ([(0.5, FAR), (0.4, NEAR), (0.3, NEAR)], True),
        ([(0.4, FAR), (0.4, NEAR)], True),
        ([(0.3, FAR), (0.4, FAR)], None),  # energy alone proves nothing
        ([(0.5, FAR), (0.4, NEAR), (0.3, FAR)], None),
    ],
)
def test_a_goal_is_reached_when_the_arm_rests_there_and_the_planner_is_done(
    steps, outcome
) -> None:
    assert make_pursuit(*steps).outcome is outcome


@pytest.mark.parametrize(('distance', 'outcome'), [(FAR, False), (NEAR, True)])
def test_after_the_last_action_the_distance_decides(distance, outcome) -> None:
    pursuit = make_pursuit((0.5, FAR), (0.4, FAR), (0.3, distance), max_actions=2)
    assert pursuit.outcome is outcome


def test_a_second_plan_from_the_same_rest_takes_the_place_of_the_first() -> None:
    pursuit = make_pursuit((0.5, FAR), (0.4, NEAR))
    pursuit.add(replace(pursuit.steps[-1], energy=0.41, stale=True))
    assert [step.energy for step in pursuit.steps] == [0.5, 0.41]
    assert pursuit.stale == 1
    assert pursuit.outcome is None


def test_seconds_per_action_are_from_rest_to_rest() -> None:
    assert make_pursuit((0.5, FAR), (0.4, FAR), (0.3, FAR)).seconds_per_action == 2.0
    assert make_pursuit((0.5, FAR)).seconds_per_action is None


# -- goals and recording -----------------------------------------------------------------------


def test_goals_are_apart_in_view_and_the_first_is_that_of_the_reach_task() -> None:
    first, second = make_goals(3)
    simulation = FrankaSimulation()
    reach = ReachTask().start(simulation, 3)
    start = simulation.state()[:3]
    np.testing.assert_array_equal(first.position, reach.position)
    np.testing.assert_array_equal(first.image, reach.image)
    for a, b in ((start, first.position), (start, second.position)):
        assert np.linalg.norm(a - b) >= 0.1
    assert np.linalg.norm(first.position - second.position) >= 0.1
    assert np.abs(first.image.astype(int) - second.image).max() > 50


def test_a_recording_knows_where_the_arm_was() -> None:
    recording = Recording()
    assert recording.position is None
    for stamp in (10, 20, 15, 30):  # the third comes too late
        recording.add_position(stamp, np.full(3, float(stamp)))
    assert recording.position_at(9)[0] == 10  # nothing had moved yet
    assert [recording.position_at(t)[0] for t in (10, 19, 20, 29, 99)] == [10, 10, 20, 20, 30]
    image = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    recording.add_image(12, image)
    assert np.abs(recording.frames[0].image().astype(int) - image).max() < 8


# -- what it leaves behind ---------------------------------------------------------------------


@pytest.fixture
def pursuits() -> list[Pursuit]:
    return [
        make_pursuit((0.5, 0.3), (0.4, FAR), (0.3, NEAR), (0.29, NEAR)),
        make_pursuit((0.6, 0.25), (0.5, FAR), max_actions=1, number=2),
    ]


def test_the_table_has_a_line_per_goal(pursuits) -> None:
    headings, _, first, second = make_table(pursuits).splitlines()
    assert headings.split()[0] == 'goal'
    for text in ('goal-1-abcd', '0.500 -> 0.290', '30.0 -> 3.0', ' yes ', ' 3 '):
        assert text in first
    for text in ('goal-2-abcd', '0.600 -> 0.500', '25.0 -> 20.0', ' no ', ' 1 '):
        assert text in second


def test_the_result_is_a_success_only_if_all_goals_were_reached(pursuits) -> None:
    config = default_config(model='untrained', seed=7)
    result = json.loads(json.dumps(make_result(config, pursuits, {'episode': 20.0})))
    assert result['success'] is False
    assert [goal['reached'] for goal in result['goals']] == [True, False]
    assert result['goals'][0]['actions'] == 3
    assert result['goals'][0]['final_distance'] == NEAR
    assert len(result['goals'][1]['steps']) == 2
    assert result['seed'] == 7
    assert make_result(config, pursuits[:1], {})['success'] is True
    assert make_result(config, [], {})['success'] is False


def test_one_line_says_which_goals_were_missed(pursuits) -> None:
    assert failure_line(pursuits[:1]) == ''
    line = failure_line(pursuits)
    assert 'goal 2' in line
    assert '20.0 cm' in line
    assert '\n' not in line


def moving(pursuits) -> Recording:
    """Return a recording of the time of these pursuits."""
    recording = Recording()
    rng = np.random.default_rng(0)
    for stamp in range(pursuits[0].begin, pursuits[-1].end, SECOND):
        recording.add_position(stamp, pursuits[0].position + rng.normal(0.0, 0.1, 3))
        recording.add_image(stamp, rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return recording


def ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), '-hide_banner', *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def read_video(path: Path) -> np.ndarray:
    """Return all frames of a video of the demonstration, uint8 RGB."""
    raw = ffmpeg('-i', str(path), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-').stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def test_plot_and_video_can_be_opened(pursuits, tmp_path) -> None:
    begin, end = pursuits[0].begin, pursuits[-1].end
    recording = moving(pursuits)
    plot_energy(tmp_path / 'energy.png', pursuits)
    assert cv2.imread(str(tmp_path / 'energy.png')).std() > 10.0

    painter = Painter(recording, pursuits, [frame.image() for frame in recording.frames[:2]])
    video = tmp_path / 'episode.mp4'
    write_episode(video, painter)
    frames = read_video(video)
    assert frames.shape[1:] == (HEIGHT, WIDTH, 3)
    assert len(frames) == pytest.approx((end - begin) / SECOND / 2 * 10 + 20, abs=2)
    difference = frames[-1].astype(float) - painter.paint(end)
    assert np.abs(difference).mean() < 10.0  # of a noisy picture, after compression
    described = ffmpeg('-i', str(video)).stderr.decode()
    assert 'Video: h264' in described
    assert 'yuv420p' in described


def test_a_video_that_cannot_be_written_is_an_error_with_the_reason(pursuits, tmp_path) -> None:
    recording = moving(pursuits)
    painter = Painter(recording, pursuits, [frame.image() for frame in recording.frames[:2]])
    with pytest.raises(VideoError, match='No such file or directory'):
        write_episode(tmp_path / 'missing' / 'episode.mp4', painter)


def test_results_of_an_earlier_run_are_removed_and_nothing_else(tmp_path) -> None:
    for name in ('episode.mp4', 'result.json', 'mine.txt'):
        (tmp_path / name).write_text('old')
    DemoFiles(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['logs', 'mine.txt']


# -- set-up ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'wrong',
    [{'seed': -1}, {'max_actions': 0}, {'domain_id': 102}, {'model': 'no-such-model'}],
)
def test_a_wrong_option_is_refused_before_anything_starts(wrong) -> None:
    with pytest.raises(VjepaPlannerError):
        default_config(**({'model': 'untrained'} | wrong))


def test_a_goal_takes_as_many_actions_as_in_the_evaluation() -> None:
    assert default_config(model='untrained').max_actions == MAX_ACTIONS


def test_a_missing_package_is_named_with_what_to_do(monkeypatch) -> None:
    requirements.check_requirements('the test', 'onnxruntime', pictures=True)
    monkeypatch.setitem(requirements._NEEDED, 'no_such_package', 'Install it.')
    with pytest.raises(MissingDependencyError, match=r'no_such_package\. Install it'):
        requirements.check_requirements('the test', 'onnxruntime', pictures=False)


def test_demonstrations_get_domains_of_their_own() -> None:
    with reserved_domain_id() as one, reserved_domain_id() as other:
        assert one != other
        assert str(one) != os.environ['ROS_DOMAIN_ID'] != str(other)


def test_the_transport_profile_of_the_tree_is_found() -> None:
    profile = find_transport_profile()
    assert profile is not None
    assert '<segment_size>' in profile.read_text()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_that_are_overwritten_appear_on_terminals_only() -> None:
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        display = Display(stream)
        display.update('live')
        display.say('done')
    assert file.getvalue() == 'done\n'
    assert terminal.getvalue() == 'live\r\x1b[Kdone\n'


# -- processes ---------------------------------------------------------------------------------


def wait_until(condition, what: str, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f'{what}: not within {timeout:g} s'
        time.sleep(0.05)


def running(text: str) -> list[str]:
    """Return the command lines that contain a text, of processes that run."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            command = path.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:  # it has ended meanwhile
            continue
        if text in command:
            found.append(command)
    return found


def test_a_process_that_ends_by_itself_is_an_error_with_the_end_of_its_log(tmp_path) -> None:
    with NodeProcesses(tmp_path) as processes:
        processes.start('wrong', 'vjepa_ros.no_such_node', [], None)
        with pytest.raises(NodesError, match=r'wrong ended by itself(.|\n)*No module named'):
            wait_until(processes.check, 'error')  # check returns None until it raises


def test_processes_end_when_asked_to(tmp_path) -> None:
    marker = f'__node:=simulator_{os.getpid()}'
    with NodeProcesses(tmp_path) as processes:
        processes.start('simulator', 'vjepa_ros.simulator_node', ['--ros-args', '-r', marker], 1)
        wait_until(lambda: running(marker), 'simulator')
        processes.check()
    assert not running(marker)


@pytest.mark.skipif(sys.platform != 'linux', reason='Linux tells children that their parent ended')
def test_processes_end_even_if_the_demonstration_is_killed(tmp_path) -> None:
    module = f'sleeper_{os.getpid()}'
    (tmp_path / f'{module}.py').write_text(
        'import time\n\ndef main():\n    print("up", flush=True)\n    time.sleep(1000)\n'
    )
    code = (
        'import pathlib, time\n'
        'from vjepa_ros.child_nodes.processes import NodeProcesses\n'
        f'NodeProcesses(pathlib.Path({str(tmp_path)!r})).start("child", "{module}", [], 1)\n'
        'time.sleep(1000)\n'
    )
    path = os.pathsep.join([str(tmp_path), os.environ['PYTHONPATH']])
    parent = subprocess.Popen([sys.executable, '-c', code], env=os.environ | {'PYTHONPATH': path})
    log = tmp_path / 'child.log'
    wait_until(lambda: log.exists() and 'up' in log.read_text(), 'child')
    child = f'{parent.pid} {module}'
    assert running(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not running(child), 'end of the child')


# -- the whole ---------------------------------------------------------------------------------


def start_demo(out: Path, model: Path, *options: str) -> subprocess.Popen[str]:
    """Start ``vjepa demo`` in a process group of its own, as a shell does."""
    code = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'
    command = [sys.executable, '-c', code, 'demo', '--out', str(out), '--model', str(model)]
    return subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


@END_TO_END
def test_the_demonstration_sets_two_goals_and_leaves_its_results(tiny_model, tmp_path) -> None:
    out = tmp_path / 'demo'
    process = start_demo(out, tiny_model, '--max-actions', '2')
    output, errors = process.communicate(timeout=500)
    assert (out / 'result.json').is_file(), output + errors
    result = json.loads((out / 'result.json').read_text())
    assert process.returncode == (0 if result['success'] else 1)
    assert ('was not reached' in errors) is not result['success']
    first, second = result['goals']
    assert (first['given_as'], second['given_as']) == ('image', 'path')
    assert first['goal_id'] != second['goal_id']
    for goal in (first, second):
        assert goal['goal_id'] in output
        assert 1 <= goal['actions'] <= 2
        assert goal['refused_plans'] == 0
    for name in ('episode.mp4', 'energy.png', 'goal_1.png', 'goal_2.png'):
        assert (out / name).stat().st_size > 1000, name
    assert not running(str(out))


@END_TO_END
@pytest.mark.parametrize(
    ('number', 'moment'),
    [(signal.SIGINT, 'goal 1 set'), (signal.SIGTERM, 'starting the nodes')],
)
def test_ctrl_c_and_the_like_end_all_nodes(number, moment, tiny_model, tmp_path) -> None:
    out = tmp_path / 'demo'
    process = start_demo(out, tiny_model)
    for line in process.stdout:
        if line.startswith(moment):
            break
    wait_until(lambda: running(str(out / 'logs')), 'nodes')
    os.killpg(process.pid, number)  # as a terminal does: to the whole group
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + number, output + errors
    assert 'interrupted' in errors
    assert 'Traceback' not in errors
    assert not running(str(out))


@END_TO_END
def test_a_node_that_cannot_start_is_reported_with_its_own_words(tiny_model, tmp_path) -> None:
    broken = shutil.copytree(tiny_model, tmp_path / 'broken')
    (broken / 'encoder.safetensors').write_bytes(b'no weights')
    process = start_demo(tmp_path / 'demo', broken)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 1
    assert 'ended by itself' in errors
    assert 'encoder.safetensors' in errors
    assert not running(str(tmp_path / 'demo'))
