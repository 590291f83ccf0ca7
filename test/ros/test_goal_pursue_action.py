# SPDX-License-Identifier: Apache-2.0
"""The action pursue_goal: it ends, for one of few reasons, and never moves what is stopped."""

from __future__ import annotations

from action_msgs.msg import GoalStatus
import numpy as np
import pytest
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import Embedding, Goal, Status, SubGoal
from vjepa_msgs.srv import SetGoalImage
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode

Result = PursueGoal.Result


class Robot:
    """Goal node and encoder are real; commander, planner and camera are played."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.goals = graph.record(Goal, 'goal', qos.GOAL)
        self.statuses = graph.publisher(Status, 'status', qos.STATUS)
        self.embeddings = graph.publisher(Embedding, 'embedding', qos.RESULT)
        self.client = ActionClient(graph.observer, PursueGoal, 'pursue_goal')
        graph.wait_until(self.client.server_is_ready, 'action')
        self.accepted = 0
        self.stops = 0
        self.feedback: list[PursueGoal.Feedback] = []
        self.holds = Future()
        self.holds.set_result(None)
        # It may wait for `holds` while the observer goes on with everything else.
        self.stop = graph.observer.create_service(
            Trigger, 'stop', self.on_stop, callback_group=ReentrantCallbackGroup()
        )
        self.rest()

    async def on_stop(self, _request, response):
        self.stops += 1
        await self.holds
        response.success = True
        return response

    def send(self, **fields):
        """Return the handle of a goal."""
        sent = self.client.send_goal_async(
            PursueGoal.Goal(**fields), lambda message: self.feedback.append(message.feedback)
        )
        return self.graph.wait_until(lambda: sent.done() and sent.result(), 'acceptance')

    def result(self, handle) -> tuple[Result, int]:
        future = handle.get_result_async()
        self.graph.wait_until(future.done, 'result')
        return future.result().result, future.result().status

    def goal_in_force(self, but: str = '') -> Goal:
        """Return the newest goal, once there is one that is not ``but``."""
        good = lambda: self.goals and self.goals[-1].goal_id not in ('', but)  # noqa: E731
        self.graph.wait_until(good, 'goal in force')
        return self.goals[-1]

    def rest(self, state: int = Status.IDLE, reason: str = '') -> None:
        """Let the commander say that the arm rests."""
        self.goal_id = getattr(self, 'goal_id', '')
        self.statuses.publish(
            Status(
                node='commander',
                state=state,
                reason=reason,
                goal_id=self.goal_id,
                accepted=self.accepted,
                settled=self.graph.now(),
            )
        )

    def act(self, goal: Goal) -> None:
        """Let the commander begin a motion, and rest."""
        self.accepted += 1
        self.goal_id = goal.goal_id
        message = Status(
            node='commander',
            state=Status.EXECUTING,
            goal_id=self.goal_id,
            accepted=self.accepted,
        )
        self.statuses.publish(message)
        self.rest()

    def planner(self, goal_id: str = '') -> None:
        self.statuses.publish(Status(node='planner', goal_id=goal_id))

    def look(self, goal: Goal, energy: float) -> None:
        """Let the encoder see an image of the resting arm with this energy to a goal."""
        values = np.array(goal.embedding.data, np.float32).reshape(goal.embedding.tokens, -1)
        header = Header(stamp=self.graph.now())
        self.embeddings.publish(
            conversions.embedding_to_message(values + np.float32(energy), 'tiny', header)
        )

    def withdrawn(self) -> bool:
        return self.goals[-1].goal_id == ''

    def settle(self) -> None:
        """Wait until the node has heard what was said before: an answer comes after it."""
        for _ in range(3):
            self.graph.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request())

    def step(self, goal: Goal, energy: float) -> None:
        """Look, so that nothing is lost on the way, and act."""
        self.look(goal, energy)
        self.settle()
        self.act(goal)
        self.settle()

    def look_until(self, future_or_handle, goal: Goal, energy: float) -> tuple[Result, int]:
        """Look again and again until there is a result."""
        future = future_or_handle.get_result_async()

        def done() -> bool:
            self.rest()
            self.planner()
            self.look(goal, energy)
            return future.done()

        self.graph.wait_until(done, 'result')
        return future.result().result, future.result().status


@pytest.fixture
def robot(graph, tiny_model) -> Robot:
    graph.begin(
        encoder={'model': str(tiny_model), 'device': 'cpu'},
        goal={'pursue.patience': 3, 'pursue.looks': 2},
    )
    graph.start(EncoderNode())
    graph.start(GoalNode())
    return Robot(graph)


def picture(seed: int = 0):
    image = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return conversions.image_to_message(image, Header())


def test_reached_is_success_and_the_goal_is_withdrawn_before_another_step(robot) -> None:
    handle = robot.send(image=picture(), energy_threshold=0.3, max_actions=9)
    goal = robot.goal_in_force()
    robot.step(goal, 0.6)
    result, status = robot.look_until(handle, goal, 0.2)
    assert (result.outcome, status) == (Result.REACHED, GoalStatus.STATUS_SUCCEEDED)
    assert (result.actions, result.goal_id) == (1, goal.goal_id)
    assert result.energy == pytest.approx(0.2, abs=1e-4)
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')
    assert robot.stops == 0, 'the arm finishes its step and rests'
    seen = [(part.sub_goal, part.sub_goals) for part in robot.feedback]
    assert set(seen) == {(0, 1)}


def test_a_result_waits_until_the_planner_knows_that_the_goal_is_withdrawn(robot) -> None:
    handle = robot.send(image=picture(), energy_threshold=0.3)
    goal = robot.goal_in_force()
    robot.planner(goal.goal_id)
    for _ in range(4):
        robot.look(goal, 0.1)
        robot.settle()
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')
    future = handle.get_result_async()
    robot.look(goal, 0.1)
    robot.settle()
    assert not future.done(), 'a plan for the old goal may still come'
    assert robot.look_until(handle, goal, 0.1)[0].outcome == Result.REACHED


@pytest.mark.parametrize(
    ('threshold', 'status'),
    [(0.0, GoalStatus.STATUS_SUCCEEDED), (0.05, GoalStatus.STATUS_ABORTED)],
)
def test_the_budget_is_success_only_if_nothing_else_was_asked_for(
    robot, threshold, status
) -> None:
    handle = robot.send(image=picture(), energy_threshold=threshold, max_actions=2)
    goal = robot.goal_in_force()
    robot.step(goal, 0.6)
    robot.step(goal, 0.4)
    robot.graph.wait_until(robot.withdrawn, 'withdrawal as the last action begins')
    result, got = robot.look_until(handle, goal, 0.3)
    assert (result.outcome, result.actions, got) == (Result.BUDGET_USED, 2, status)
    assert result.energy == pytest.approx(0.3, abs=1e-4), 'of the arm at rest'


def test_an_arm_that_dithers_is_told_to_rest(robot) -> None:
    handle = robot.send(image=picture(), energy_threshold=0.1)
    goal = robot.goal_in_force()
    for energy in (0.5, 0.52, 0.5, 0.52):
        robot.step(goal, energy)
    result, status = robot.look_until(handle, goal, 0.5)
    assert (result.outcome, status) == (Result.STAGNATED, GoalStatus.STATUS_ABORTED)
    assert 'no progress in 3 actions' in result.reason
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')


def test_cancelling_holds_the_arm_at_once_and_withdraws_the_goal(robot) -> None:
    handle = robot.send(image=picture(), energy_threshold=0.3)
    goal = robot.goal_in_force()
    robot.act(goal)
    handle.cancel_goal_async()
    result, status = robot.result(handle)
    assert (result.outcome, status) == (Result.CANCELLED, GoalStatus.STATUS_CANCELED)
    assert robot.stops == 1
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')


def test_a_goal_is_cancelled_only_when_the_commander_holds(robot) -> None:
    robot.holds = Future()
    handle = robot.send(image=picture(), energy_threshold=0.3)
    robot.act(robot.goal_in_force())
    handle.cancel_goal_async()
    result = handle.get_result_async()
    robot.graph.wait_until(lambda: robot.stops == 1, 'call of stop')
    robot.graph.wait_until(robot.withdrawn, 'withdrawal, which waits for nobody')
    robot.settle()  # the node goes on with everything else
    assert not result.done()
    robot.holds.set_result(None)
    robot.graph.wait_until(result.done, 'result')
    assert result.result().status == GoalStatus.STATUS_CANCELED


def test_a_goal_is_cancelled_also_where_the_commander_is_silent(robot) -> None:
    robot.holds = Future()
    handle = robot.send(image=picture(), energy_threshold=0.3)
    robot.goal_in_force()
    handle.cancel_goal_async()
    assert robot.result(handle)[1] == GoalStatus.STATUS_CANCELED
    robot.holds.set_result(None)


def test_a_stopped_commander_is_waited_for_and_never_started(robot) -> None:
    robot.graph.observer.create_service(Trigger, 'start', lambda *_: pytest.fail('started'))
    robot.rest(Status.STOPPED, 'stopped: call the service start')
    robot.settle()
    handle = robot.send(image=picture(), energy_threshold=0.3)
    goal = robot.goal_in_force()
    robot.look(goal, 0.1)
    robot.look(goal, 0.1)
    robot.graph.wait_until(
        lambda: any('call the service start' in part.reason for part in robot.feedback), 'feedback'
    )
    assert not robot.withdrawn()
    assert robot.look_until(handle, goal, 0.1)[0].outcome == Result.REACHED


@pytest.mark.parametrize('state', [Status.STOPPED, Status.E_STOPPED])
def test_a_stop_ends_the_pursuit_so_that_a_start_does_not_go_on(robot, state) -> None:
    handle = robot.send(image=picture(), energy_threshold=0.3)
    robot.act(robot.goal_in_force())
    robot.rest(state, 'the operator says so')
    result, status = robot.result(handle)
    assert (result.outcome, status) == (Result.ABORTED, GoalStatus.STATUS_ABORTED)
    assert 'the operator says so' in result.reason
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')


def test_the_timeout_ends_it(robot) -> None:
    result, status = robot.result(robot.send(image=picture(), timeout=0.5))
    assert (result.outcome, status) == (Result.ABORTED, GoalStatus.STATUS_ABORTED)
    assert 'timeout of 0.5 s' in result.reason
    robot.graph.wait_until(robot.withdrawn, 'withdrawal')


@pytest.mark.parametrize('how', ['the action', 'a service'])
def test_a_later_goal_replaces_the_one_before(robot, how) -> None:
    handle = robot.send(image=picture(1), energy_threshold=0.3)
    first = robot.goal_in_force()
    if how == 'the action':
        other = robot.send(image=picture(2), energy_threshold=0.3)
    else:
        robot.graph.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(image=picture(2)))
    result, status = robot.result(handle)
    second = robot.goal_in_force(first.goal_id)
    assert (result.outcome, status) == (Result.ABORTED, GoalStatus.STATUS_ABORTED)
    assert f'{second.goal_id} replaced it' in result.reason
    assert not robot.withdrawn()
    if how == 'the action':
        assert robot.look_until(other, second, 0.2)[0].outcome == Result.REACHED


@pytest.mark.parametrize(
    ('fields', 'complaint'),
    [
        ({}, 'got neither'),
        ({'path': '/no/such/picture.png'}, 'there is no image file'),
        ({'path': '/x.png', 'sub_goals': [SubGoal(max_actions=1)]}, 'got both'),
        ({'image': picture(), 'energy_threshold': -1.0}, 'energy_threshold must be'),
        ({'image': picture(), 'timeout': float('nan')}, 'timeout must be'),
        ({'sub_goals': [SubGoal(path='x.png'), SubGoal()]}, 'sub_goals[0]: max_actions'),
    ],
)
def test_a_bad_goal_changes_nothing(robot, fields, complaint) -> None:
    running = robot.send(image=picture(), energy_threshold=0.3)
    goal = robot.goal_in_force()
    result, status = robot.result(robot.send(**fields))
    assert (result.outcome, status) == (Result.ABORTED, GoalStatus.STATUS_ABORTED)
    assert complaint in result.reason
    assert robot.goals[-1].goal_id == goal.goal_id
    assert robot.look_until(running, goal, 0.2)[0].outcome == Result.REACHED


def test_sub_goals_follow_one_another_and_the_last_one_is_judged(robot) -> None:
    parts = [
        SubGoal(image=picture(1), max_actions=2),
        SubGoal(image=picture(2), max_actions=9, energy_threshold=0.2),
        SubGoal(image=picture(3), max_actions=9),
    ]
    handle = robot.send(sub_goals=parts, energy_threshold=0.3)
    first = robot.goal_in_force()
    robot.step(first, 0.01)  # no threshold of its own
    robot.step(first, 0.01)
    second = robot.goal_in_force(first.goal_id)
    robot.look(second, 0.1)
    third = robot.goal_in_force(second.goal_id)
    assert (third.sub_goal, third.sub_goals) == (2, 3)
    result, _ = robot.look_until(handle, third, 0.2)
    assert (result.outcome, result.goal_id) == (Result.REACHED, third.goal_id)
    assert result.actions == 2


def test_clearing_the_goal_ends_the_pursuit(robot) -> None:
    handle = robot.send(image=picture())
    robot.goal_in_force()
    refused = robot.graph.call(Trigger, 'end_goal_sequence')
    assert not refused.success
    assert 'pursue_goal' in refused.message
    assert robot.graph.call(Trigger, 'clear_goal').success
    result, _ = robot.result(handle)
    assert (result.outcome, result.reason) == (Result.ABORTED, 'clear_goal was called')
    assert robot.graph.wait_for_status('goal', Status.WAITING, 'cleared').goal_id == ''
