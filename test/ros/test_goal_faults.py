# SPDX-License-Identifier: Apache-2.0
"""Hostile goals, floods of goals, and no goal at all. That it ends: test_goal_pursue_action.py."""

from __future__ import annotations

import os
from pathlib import Path
import time

from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.action import ActionClient
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import Embedding, Goal, Plan, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_ros import conversions, qos
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode
from vjepa_ros.planner_node import PlannerNode

_INTERVAL = 0.1  # [s] the default of min_goal_interval


def picture(seed: int) -> Image:
    image = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return conversions.image_to_message(image, Header())


@pytest.fixture
def goals(graph, tiny_model):
    network = {'model': str(tiny_model), 'device': 'cpu'}
    graph.begin(encoder=network, planner=network)
    graph.start(EncoderNode())
    graph.start(GoalNode())
    graph.goals = graph.record(Goal, 'goal', qos.GOAL)
    graph.wait_for_status('goal', Status.WAITING, 'no goal set')
    return graph


def make_files(folder: Path) -> dict[str, Path]:
    """Return paths that are no pictures, each in another way."""
    empty, huge, text, pipe = (folder / name for name in ('empty.png', 'huge.png', 'text', 'pipe'))
    empty.touch()
    with huge.open('wb') as file:
        file.truncate(100_000_000)
    text.write_text('secret')
    os.mkfifo(pipe)
    (folder / 'below').mkdir()
    return {
        'is not': folder / 'missing.png',
        'a directory': folder,
        'empty': empty,
        'too large': huge,
        'no picture': folder / 'below' / '..' / 'text',
        'a pipe that nobody writes to': pipe,
        'endless': Path('/dev/zero'),
    }


def test_hostile_paths_are_refused_at_once_and_give_nothing_away(goals, tmp_path) -> None:
    in_force = goals.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(image=picture(0)))
    for kind, path in make_files(tmp_path).items():
        begin = time.monotonic()
        request = SetGoalImage.Request(path=str(path))
        answer = goals.call(SetGoalImage, 'set_goal_image', request)
        assert not answer.success, kind
        assert answer.goal_id == in_force.goal_id
        assert 'secret' not in answer.message
        assert time.monotonic() - begin < 5.0, kind


@pytest.mark.parametrize(
    'wrong',
    [
        {'height': 2**32 - 1, 'width': 2**32 - 1},
        {'step': 0},
        {'data': b''},
        {'encoding': ''},
        {'width': 0},
    ],
)
def test_images_that_lie_about_their_size_are_refused(goals, wrong) -> None:
    in_force = goals.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(image=picture(0)))
    image = picture(1)
    for name, value in wrong.items():
        setattr(image, name, value)
    answer = goals.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(image=image))
    assert not answer.success
    assert answer.goal_id == in_force.goal_id


def resident() -> int:
    """Return the memory of this process [bytes]."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def flood(graph, client, seeds: range) -> str:
    """Set a goal a hundred times per second, and return the name of the last one."""
    futures = []
    for seed in seeds:
        request = SetGoalImage.Request(image=picture(seed))
        futures.append(client.call_async(request))
        time.sleep(0.01)
    graph.wait_until(futures[-1].done, 'answer to the last one', 30.0)
    for future in futures[:-1]:
        client.remove_pending_request(future)
    assert futures[-1].result().success
    return futures[-1].result().goal_id


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='needs Linux')
def test_of_a_hundred_goals_per_second_the_last_one_wins_and_few_come_into_force(goals) -> None:
    client = goals.observer.create_client(SetGoalImage, 'set_goal_image')
    goals.wait_until(client.service_is_ready, 'service')
    flood(goals, client, range(100))
    before, published, begin = resident(), len(goals.goals), time.monotonic()
    for burst in range(1, 4):
        last = flood(goals, client, range(100 * burst, 100 * burst + 100))
    seconds = time.monotonic() - begin
    goals.wait_until(lambda: goals.goals[-1].goal_id == last, 'last goal in force')
    assert len(goals.goals) - published <= seconds / _INTERVAL + 2
    assert goals.wait_for_status('goal', Status.IDLE).goal_id == last
    assert resident() - before < 30e6


def test_a_flood_of_action_goals_leaves_the_services_in_working_order(goals) -> None:
    client = ActionClient(goals.observer, PursueGoal, 'pursue_goal')
    goals.wait_until(client.server_is_ready, 'action')
    handles = []
    for seed in range(60):
        sent = client.send_goal_async(PursueGoal.Goal(image=picture(seed), max_actions=5))
        handles.append(sent)
        time.sleep(0.01)
    goals.wait_until(lambda: all(sent.done() for sent in handles), 'answers')
    accepted = [sent.result() for sent in handles if sent.result().accepted]
    assert accepted
    results = [handle.get_result_async() for handle in accepted]
    done = lambda: sum(result.done() for result in results) >= len(results) - 1  # noqa: E731
    goals.wait_until(done, 'results of all but the last')
    ended = [result.result().status for result in results if result.done()]
    assert set(ended) <= {GoalStatus.STATUS_ABORTED}
    answer = goals.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(image=picture(99)))
    assert answer.success, answer.message
    goals.wait_until(lambda: all(result.done() for result in results), 'all results')


def test_without_a_goal_a_start_moves_nothing(goals) -> None:
    goals.start(CommanderNode())
    goals.start(PlannerNode())
    poses = goals.publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
    embeddings = goals.publisher(Embedding, 'embedding', qos.RESULT)
    plans = goals.record(Plan, 'plan', qos.RESULT)
    targets = goals.record(PoseStamped, 'target_pose', qos.COMMAND)

    def measure() -> None:
        header = Header(stamp=goals.now(), frame_id='fr3_link0')
        poses.publish(conversions.pose_to_message([0.5, 0.0, 0.3], [1.0, 0.0, 0.0, 0.0], header))
        embeddings.publish(
            conversions.embedding_to_message(np.zeros((4, 24), np.float32), 'tiny', header)
        )

    def started() -> bool:
        measure()
        return goals.call(Trigger, 'start').success

    goals.wait_until(started, 'start')
    begin = time.monotonic()
    while time.monotonic() - begin < 1.0:
        measure()
        time.sleep(0.02)
    assert 'no goal set' in goals.wait_for_status('planner', Status.WAITING).reason
    assert not plans
    held = {(target.pose.position.x, target.pose.position.z) for target in targets}
    assert held <= {(0.5, 0.3)}
