# SPDX-License-Identifier: Apache-2.0
"""Which goal of a sequence is in force, by what commander and planner say. No node here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vjepa_msgs.msg import Embedding, Plan, Status
from vjepa_msgs.msg import Goal as GoalMessage
from vjepa_msgs.msg import SubGoal as SubGoalMessage
from vjepa_planner import Goal
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.goal_sequence import check_budget, GoalSequence, Progress, SubGoal
from vjepa_ros import conversions


def check_sequence(requested: Sequence[SubGoalMessage]) -> None:
    """Check everything about a request but its images, which take long to encode.

    Raises:
        InvalidInputError: There are no sub-goals, or a number is out of range.
    """
    if not requested:
        raise InvalidInputError('sub_goals is empty: a sequence needs at least one.')
    for index, part in enumerate(requested):
        with naming(index):
            check_budget(part.max_actions, part.energy_threshold or None)


def make_sequence(
    goals: Sequence[GoalMessage], requested: Sequence[SubGoalMessage]
) -> GoalSequence:
    """Return encoded goals with the budgets and thresholds that were requested for them."""
    return GoalSequence(
        [
            SubGoal(
                goal=Goal(
                    embedding=conversions.embedding_from_message(goal.embedding),
                    goal_id=goal.goal_id,
                ),
                max_actions=part.max_actions,
                energy_threshold=part.energy_threshold or None,
            )
            for goal, part in zip(goals, requested, strict=True)
        ]
    )


@contextmanager
def naming(index: int) -> Iterator[None]:
    """Say in an error which sub-goal of a request it is about."""
    try:
        yield
    except VjepaPlannerError as error:
        raise InvalidInputError(f'sub_goals[{index}]: {error}') from error


class MotionCounter:
    """Counts the motions that the commander begins."""

    def __init__(self, motions: int | None) -> None:
        """Begin.

        Args:
            motions: How many it has begun so far; None if it was not heard yet.
        """
        self._motions = motions

    def begun(self, message: Status) -> int:
        """Return how many have begun since the status before."""
        before = message.accepted - 1 if self._motions is None else self._motions
        if message.accepted < before:
            before = 0  # it has been started again
        self._motions = message.accepted
        return message.accepted - before


class SequencePursuit:
    """Counts the actions of each sub-goal, and compares energies with its threshold.

    Attributes:
        withdraw_last: Whether the last sub-goal ends, too, when it has been pursued.
    """

    def __init__(
        self, sequence: GoalSequence, motions: int | None, *, withdraw_last: bool = False
    ) -> None:
        """Begin with the first sub-goal.

        Args:
            sequence: What is pursued.
            motions: How many the commander has begun so far; None if it was not heard yet.
            withdraw_last: Whether the last sub-goal ends, too, when it has been pursued.
        """
        self.withdraw_last = withdraw_last
        self._sequence = sequence
        self._progress = Progress()
        self._motions = MotionCounter(motions)

    @property
    def index(self) -> int:
        """Which sub-goal is in force; the last one stays."""
        return min(self._progress.index, len(self._sequence) - 1)

    @property
    def is_done(self) -> bool:
        """Whether every sub-goal has been pursued."""
        return self._sequence.is_done(self._progress)

    @property
    def is_over(self) -> bool:
        """Whether nothing more has to be seen or heard."""
        return self.is_done

    def describe(self) -> str:
        """Return how far it is, in words."""
        count = len(self._sequence)
        if self.is_done:
            end = 'is withdrawn' if self.withdraw_last else 'stays in force'
            return f'all {count} sub-goals have been pursued; the last one {end}'
        return f'sub-goal {self.index + 1} of {count}'

    def take_status(self, message: Status) -> bool:
        """Take what the commander says, and return whether the sub-goal is done now.

        A motion counts when it begins, for the goal that its plan was made for.
        """
        begun = self._motions.begun(message)
        if begun == 0 or message.goal_id != self._goal_id:
            return False
        return self._advance(self._sequence.advance(self._progress, actions=begun))

    def take_planner_status(self, message: Status) -> None:
        """Take what the planner says, of which a sequence makes nothing."""

    def take_plan(self, message: Plan) -> bool:
        """Take a plan with the energy of the present image; return whether that is low enough."""
        if message.goal_id != self._goal_id:
            return False
        energy = message.current_energy
        return self._advance(self._sequence.advance(self._progress, energy=energy))

    def take_embedding(self, _message: Embedding) -> bool:
        """Take the embedding of the present image, of which a sequence makes nothing."""
        return False

    def end(self, reason: str) -> None:
        """Be told that other goals, or none, are in force now."""

    @property
    def _goal_id(self) -> str:
        return self._sequence.current(self._progress).goal.goal_id

    def _advance(self, progress: Progress) -> bool:
        goes_on = progress.index != self._progress.index
        self._progress = progress
        return goes_on
