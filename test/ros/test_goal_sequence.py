# SPDX-License-Identifier: Apache-2.0
"""Sequences of goals: set as a whole or not at all, and pursued one after the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Goal, Plan, Status, SubGoal
from vjepa_msgs.srv import SetGoalImage, SetGoalSequence
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode


class Surroundings:
    """A goal node and its encoder; commander and planner are played by the observer."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.goals = graph.record(Goal, 'goal', qos.GOAL)
        self.statuses = graph.publisher(Status, 'status', qos.STATUS)
        self.plans = graph.publisher(Plan, 'plan', qos.RESULT)
        self.accepted = 0

    def set(self, *sub_goals: SubGoal, withdraw_last: bool = False) -> SetGoalSequence.Response:
        request = SetGoalSequence.Request(sub_goals=list(sub_goals), withdraw_last=withdraw_last)
        return self.graph.call(SetGoalSequence, 'set_goal_sequence', request)

    def move(self, goal_id: str) -> None:
        """Begin a motion for a goal, and let its end and a heartbeat follow."""
        self.accepted += 1
        for state in (Status.EXECUTING, Status.IDLE, Status.IDLE):
            self.say(state, goal_id)

    def say(self, state: int, goal_id: str) -> None:
        self.statuses.publish(
            Status(node='commander', state=state, goal_id=goal_id, accepted=self.accepted)
        )

    def plan(self, goal_id: str, energy: float) -> None:
        self.plans.publish(Plan(goal_id=goal_id, current_energy=energy))

    def wait_for_goal(self, goal_id: str) -> Goal:
        def newest() -> Goal | None:
            return self.goals[-1] if self.goals and self.goals[-1].goal_id == goal_id else None

        return self.graph.wait_until(newest, f'goal {goal_id}')

    def settle(self) -> None:
        """Wait until the node has heard what was said before: an answer comes after it."""
        for _ in range(3):
            self.graph.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request())


@pytest.fixture
def surroundings(graph, tiny_model) -> Surroundings:
    graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu'})
    graph.start(EncoderNode())
    graph.start(GoalNode())
    graph.wait_for_status('goal', Status.WAITING, 'no goal set')
    return Surroundings(graph)


def sub_goal(seed: int, max_actions: int = 2, energy_threshold: float = 0.0, **where) -> SubGoal:
    image = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    where = where or {'image': conversions.image_to_message(image, Header())}
    return SubGoal(max_actions=max_actions, energy_threshold=energy_threshold, **where)


def test_goals_follow_one_another_after_their_numbers_of_actions(surroundings) -> None:
    answer = surroundings.set(sub_goal(1, 2), sub_goal(2, 1), sub_goal(3, 2))
    assert answer.success, answer.message
    first, second, third = answer.goal_ids
    assert len({first, second, third}) == 3
    goal = surroundings.wait_for_goal(first)
    assert (goal.sub_goal, goal.sub_goals) == (0, 3)
    surroundings.move(first)
    surroundings.graph.wait_for_status('goal', Status.IDLE, 'sub-goal 1 of 3')
    surroundings.move(first)
    goal = surroundings.wait_for_goal(second)
    assert (goal.sub_goal, goal.sub_goals) == (1, 3)
    late = surroundings.graph.record(Goal, 'goal', qos.GOAL)
    surroundings.graph.wait_until(lambda: late, 'latched sub-goal')
    assert (late[0].goal_id, late[0].sub_goal) == (second, 1)
    surroundings.move(first)  # an old plan: it is not for this goal
    surroundings.move(second)
    surroundings.wait_for_goal(third)
    surroundings.move(third)
    surroundings.move(third)
    status = surroundings.graph.wait_for_status('goal', Status.IDLE, 'all 3 sub-goals')
    assert status.goal_id == third  # it stays
    assert [goal.goal_id for goal in surroundings.goals] == [first, second, third]


def test_the_last_goal_is_withdrawn_if_that_is_wanted(surroundings) -> None:
    first, second = surroundings.set(sub_goal(1, 1), sub_goal(2, 2), withdraw_last=True).goal_ids
    surroundings.wait_for_goal(first)
    surroundings.move(first)
    surroundings.wait_for_goal(second)
    surroundings.move(second)
    surroundings.graph.wait_for_status('goal', Status.IDLE, 'sub-goal 2 of 2')
    surroundings.move(second)
    surroundings.wait_for_goal('')
    status = surroundings.graph.wait_for_status('goal', Status.WAITING, 'is withdrawn')
    assert status.goal_id == ''
    again = surroundings.set(sub_goal(1, 1), withdraw_last=True).goal_ids[0]
    surroundings.wait_for_goal(again)
    surroundings.move(again)
    surroundings.wait_for_goal('')


def test_a_goal_is_left_as_soon_as_the_energy_is_below_its_threshold(surroundings) -> None:
    first, second = surroundings.set(sub_goal(1, 9, 0.4), sub_goal(2, 9)).goal_ids
    surroundings.wait_for_goal(first)
    surroundings.plan(first, 0.41)
    surroundings.plan('another goal', 0.1)
    surroundings.settle()
    assert surroundings.goals[-1].goal_id == first
    surroundings.plan(first, 0.39)
    surroundings.wait_for_goal(second)
    surroundings.plan(second, 0.0)  # it has no threshold
    surroundings.settle()
    assert surroundings.goals[-1].goal_id == second


def test_sub_goals_come_from_files_too(surroundings, camera_image, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / 'goal.png'), camera_image)
    answer = surroundings.set(sub_goal(1), sub_goal(0, path=str(tmp_path / 'goal.png')))
    assert answer.success, answer.message
    assert len(answer.goal_ids) == 2


def test_a_bad_sequence_changes_nothing_whatever_is_in_force(surroundings, tmp_path) -> None:
    assert 'there is no goal yet' in surroundings.set().message
    first, second = surroundings.set(sub_goal(1, 2), sub_goal(2, 2)).goal_ids
    surroundings.wait_for_goal(first)
    surroundings.move(first)
    for sub_goals, complaint in (
        ([], 'sub_goals is empty'),
        ([sub_goal(3), sub_goal(4, max_actions=0)], r'sub_goals[1]: max_actions must be'),
        ([sub_goal(3, energy_threshold=-0.5)], r'sub_goals[0]: energy_threshold must be'),
        ([sub_goal(3, energy_threshold=float('nan'))], r'sub_goals[0]: energy_threshold must be'),
        ([sub_goal(3), sub_goal(0, path=str(tmp_path / 'no.png'))], r'sub_goals[1]: there is no'),
        ([sub_goal(3), SubGoal(max_actions=1)], r'sub_goals[1]: give either an image or a path'),
    ):
        answer = surroundings.set(*sub_goals)
        assert not answer.success
        assert complaint in answer.message
        assert f'{first} stays in force' in answer.message
        assert answer.goal_ids == []
    assert [goal.goal_id for goal in surroundings.goals] == [first]
    surroundings.move(first)  # the second action: the sequence before goes on
    surroundings.wait_for_goal(second)


@pytest.mark.parametrize('how', ['another goal', 'another sequence', 'the service'])
def test_a_sequence_ends_by_another_goal_or_when_told_to(surroundings, camera_image, how) -> None:
    first, _ = surroundings.set(sub_goal(1, 1), sub_goal(2, 1)).goal_ids
    in_force = surroundings.wait_for_goal(first).goal_id
    if how == 'another goal':
        image = conversions.image_to_message(camera_image, Header())
        request = SetGoalImage.Request(image=image)
        in_force = surroundings.graph.call(SetGoalImage, 'set_goal_image', request).goal_id
        assert surroundings.wait_for_goal(in_force).sub_goals == 0
    elif how == 'another sequence':
        in_force = surroundings.set(sub_goal(3, 5), sub_goal(4, 5)).goal_ids[0]
    else:
        assert surroundings.graph.call(Trigger, 'end_goal_sequence').success
        again = surroundings.graph.call(Trigger, 'end_goal_sequence')
        assert (again.success, again.message) == (False, 'there is no sequence of goals.')
    surroundings.wait_for_goal(in_force)
    for _ in range(3):
        surroundings.move(first)
    surroundings.settle()
    assert surroundings.goals[-1].goal_id == in_force


def test_motions_before_the_sequence_and_a_new_commander_are_counted_right(surroundings) -> None:
    surroundings.accepted = 7
    surroundings.say(Status.IDLE, 'an old goal')
    first, second = surroundings.set(sub_goal(1, 2), sub_goal(2, 9)).goal_ids
    surroundings.wait_for_goal(first)
    surroundings.say(Status.IDLE, 'an old goal')
    surroundings.accepted = 0  # it was started again
    surroundings.move(first)
    surroundings.settle()
    assert surroundings.goals[-1].goal_id == first
    surroundings.move(first)
    surroundings.wait_for_goal(second)
