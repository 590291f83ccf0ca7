# SPDX-License-Identifier: Apache-2.0
"""Several goals, pursued one after the other: what a task needs that greedy steps cannot do.

V-JEPA 2-AC picks and places by way of three goal images, each for a number of actions (V-JEPA 2
paper, section 4.2). A goal may also be left as soon as its energy is low enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from numbers import Integral, Real

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Goal


@dataclass(frozen=True, kw_only=True)
class SubGoal:
    """A goal, and when it has been pursued for long enough.

    Attributes:
        goal: How the scene should look on the way.
        max_actions: Executed actions after which it is left, reached or not.
        energy_threshold: It is left, too, when the present image's energy is below this; None if
            only the actions count.
    """

    goal: Goal
    max_actions: int
    energy_threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_budget(self.max_actions, self.energy_threshold)


def check_budget(max_actions: object, energy_threshold: object) -> None:
    """Check the numbers of a :class:`SubGoal` before there is a goal.

    Raises:
        InvalidInputError: One is out of range.
    """
    if isinstance(max_actions, bool) or not isinstance(max_actions, Integral) or max_actions < 1:
        raise InvalidInputError(f'max_actions must be a positive whole number, got {max_actions}.')
    if energy_threshold is not None and not (
        isinstance(energy_threshold, Real)
        and math.isfinite(energy_threshold)
        and float(energy_threshold) > 0
    ):
        raise InvalidInputError(
            f'energy_threshold must be positive and finite, or None, got {energy_threshold}.'
        )


@dataclass(frozen=True)
class Progress:
    """How far a sequence has come.

    Attributes:
        index: Of the sub-goal in force, counted from 0; the number of sub-goals when all are done.
        actions: Executed for that sub-goal.
    """

    index: int = 0
    actions: int = 0


@dataclass(frozen=True)
class GoalSequence:
    """Sub-goals in the order in which they are pursued. Knows no time and no robot.

    Attributes:
        sub_goals: At least one.
    """

    sub_goals: Sequence[SubGoal]

    def __post_init__(self) -> None:
        """Check that there is something to pursue."""
        object.__setattr__(self, 'sub_goals', tuple(self.sub_goals))
        if not self.sub_goals:
            raise InvalidInputError('a goal sequence needs at least one sub-goal.')

    def __len__(self) -> int:
        """Return the number of sub-goals."""
        return len(self.sub_goals)

    @property
    def max_actions(self) -> int:
        """Actions after which all sub-goals are done."""
        return sum(sub_goal.max_actions for sub_goal in self.sub_goals)

    def is_done(self, progress: Progress) -> bool:
        """Return whether every sub-goal has been pursued."""
        return progress.index >= len(self)

    def current(self, progress: Progress) -> SubGoal:
        """Return the sub-goal in force; the last one stays when all are done."""
        return self.sub_goals[min(progress.index, len(self) - 1)]

    def advance(
        self, progress: Progress, *, actions: int = 0, energy: float = math.inf
    ) -> Progress:
        """Return how far the sequence is after actions, or after a look.

        At most one sub-goal is left at a time: the energy and the actions are those of the
        sub-goal in force, and say nothing about the next one.

        Args:
            progress: How far it was before.
            actions: Executed for the sub-goal in force since then.
            energy: Of the present image with that sub-goal.
        """
        if self.is_done(progress):
            return progress
        sub_goal, done = self.current(progress), progress.actions + actions
        threshold = sub_goal.energy_threshold
        if done >= sub_goal.max_actions or (threshold is not None and energy < threshold):
            return Progress(progress.index + 1)
        return Progress(progress.index, done)
