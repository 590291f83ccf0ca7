# SPDX-License-Identifier: Apache-2.0
"""When a sequence of goals goes on to the next one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vjepa_planner import Goal
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.goal_sequence import GoalSequence, Progress, SubGoal

IMAGE = np.zeros((16, 16, 3), np.uint8)


def sub_goal(name: str, max_actions: int, energy_threshold: float | None = None) -> SubGoal:
    goal = Goal(image=IMAGE, goal_id=name)
    return SubGoal(goal=goal, max_actions=max_actions, energy_threshold=energy_threshold)


def pursued(sequence: GoalSequence) -> list[str]:
    """Return which goal each action is for, when nothing but actions counts."""
    progress, names = Progress(), []
    while not sequence.is_done(progress):
        names.append(sequence.current(progress).goal.goal_id)
        progress = sequence.advance(progress, actions=1)
    return names


def test_each_goal_is_pursued_for_its_number_of_actions() -> None:
    sequence = GoalSequence([sub_goal('a', 2), sub_goal('b', 3), sub_goal('c', 1)])
    assert pursued(sequence) == ['a', 'a', 'b', 'b', 'b', 'c']
    assert (len(sequence), sequence.max_actions) == (3, 6)


def test_the_last_goal_stays_when_all_are_done() -> None:
    sequence = GoalSequence([sub_goal('a', 1), sub_goal('b', 1)])
    done = sequence.advance(Progress(1), actions=1)
    assert sequence.is_done(done)
    assert sequence.current(done).goal.goal_id == 'b'
    assert sequence.advance(done, actions=5, energy=0.0) == done


def test_a_goal_is_left_early_when_its_energy_is_below_its_threshold() -> None:
    sequence = GoalSequence([sub_goal('a', 5, 0.3), sub_goal('b', 5)])
    assert sequence.advance(Progress(0, 1), energy=0.3) == Progress(0, 1)
    assert sequence.advance(Progress(0, 1), energy=0.29) == Progress(1)
    assert sequence.advance(Progress(0, 1), energy=math.nan) == Progress(0, 1)
    assert sequence.advance(Progress(1), energy=0.0) == Progress(1)  # it has no threshold


def test_what_counted_for_one_goal_does_not_count_for_the_next() -> None:
    sequence = GoalSequence([sub_goal('a', 2, 0.5), sub_goal('b', 2, 0.5)])
    assert sequence.advance(Progress(0, 1), actions=4, energy=0.1) == Progress(1)


def test_advancing_changes_nothing_that_was_there_before() -> None:
    sequence, before = GoalSequence([sub_goal('a', 3)]), Progress()
    assert sequence.advance(before, actions=1) == Progress(0, 1)
    assert before == Progress()


@pytest.mark.parametrize('budget', [0, -1, 1.5, True])
def test_an_impossible_budget_is_refused(budget: int) -> None:
    with pytest.raises(InvalidInputError, match='max_actions must be a positive whole number'):
        sub_goal('a', budget)


@pytest.mark.parametrize('threshold', [0.0, -0.1, math.nan, math.inf])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInputError, match='energy_threshold must be positive and finite'):
        sub_goal('a', 1, threshold)


def test_a_sequence_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError, match='at least one sub-goal'):
        GoalSequence([])
