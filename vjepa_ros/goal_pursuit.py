# SPDX-License-Identifier: Apache-2.0
"""The pursuit of a goal until there is an outcome, by what the nodes say. No node here.

It looks at every embedding of the resting arm, and not only at those that plans are made of: so a
goal that is reached is withdrawn while the planner still searches the next step, and that step
does not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math
import threading
import time

import numpy as np

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import Embedding, Plan, Status
from vjepa_msgs.msg import Goal as GoalMessage
from vjepa_msgs.msg import SubGoal as SubGoalMessage
from vjepa_planner.energy import energy
from vjepa_planner.goal_sequence import Progress
from vjepa_planner.termination import Outcome, Termination, TerminationConfig
from vjepa_ros import conversions
from vjepa_ros.sequence_pursuit import make_sequence, SequencePursuit

_RESTS = (Status.IDLE, Status.HOLDING)
_STOPPED = (Status.STOPPED, Status.E_STOPPED)
_REST_TIMEOUT = 30.0  # [s] of steady time for the arm to come to rest after the last action

_OUTCOMES = {
    Outcome.REACHED: PursueGoal.Result.REACHED,
    Outcome.BUDGET_USED: PursueGoal.Result.BUDGET_USED,
    Outcome.STAGNATED: PursueGoal.Result.STAGNATED,
}


@dataclass(frozen=True)
class _Ending:
    """What will be said when the arm rests."""

    outcome: int
    reason: str
    since: int  # [ns] of the stamps' clock: the goal is withdrawn
    deadline: float  # [s] of steady time


class GoalPursuit(SequencePursuit):
    """Sub-goals as a sequence has them, of which the last one ends with an outcome.

    Its methods are called with the lock of the goal node held; :meth:`wait` is not.

    Attributes:
        energy: Of the newest image with the goal in force; NaN before there is one.
        actions: Begun so far, over all sub-goals.
        result: What became of it; None while it goes on.
    """

    def __init__(
        self,
        goals: Sequence[GoalMessage],
        requested: Sequence[SubGoalMessage],
        config: TerminationConfig,
        commander: Status | None,
        now: Callable[[], int],
    ) -> None:
        """Begin with the first sub-goal.

        Args:
            goals: Encoded.
            requested: Their budgets and thresholds; those of the last one are in ``config``.
            config: When the last one is over.
            commander: Its newest status; None if it was not heard yet.
            now: Returns the time of the stamps' clock [ns].
        """
        motions = None if commander is None else commander.accepted
        super().__init__(make_sequence(goals, requested), motions, withdraw_last=True)
        self.energy = math.nan
        self.actions = 0
        self.result: PursueGoal.Result | None = None
        self._termination = Termination(config)
        self._commander = commander or Status(state=Status.WAITING)
        self._planner_goal: str | None = None
        self._looked_at = 0  # stamp of the last image that was looked at [ns]
        self._now = now
        self._ending: _Ending | None = None
        self._ended = threading.Event()

    # -- what it says --------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether the goal is to be withdrawn, or has been."""
        return self._ending is not None or self.result is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more has to be seen or heard."""
        return self.result is not None

    def describe(self) -> str:
        """Return how far it is, in words."""
        if self.result is not None:
            return self.result.reason
        if self._ending is not None:
            return f'{self._ending.reason}; the goal is withdrawn'
        return f'sub-goal {self.index + 1} of {len(self._sequence)} of pursue_goal'

    def feedback(self) -> PursueGoal.Feedback:
        """Return how far it is."""
        return PursueGoal.Feedback(
            energy=self.energy,
            actions=self.actions,
            sub_goal=self.index,
            sub_goals=len(self._sequence),
            state=self._commander.state,
            reason=self._commander.reason or self.describe(),
        )

    def wait(self, timeout: float) -> bool:
        """Return whether there is a result, waiting for it at most ``timeout`` [s]."""
        return self._ended.wait(timeout)

    # -- what it takes -------------------------------------------------------------------------

    def take_status(self, message: Status) -> bool:
        """Take what the commander says, and return whether another goal, or none, is due."""
        before, self._commander = self._commander, message
        begun = self._motions.begun(message)
        if before.state not in _STOPPED and message.state in _STOPPED:
            return self._stopped(message.reason)
        if begun == 0 or message.goal_id != self._goal_id:
            return False
        self.actions += begun
        if self.is_done:
            return False
        if not self._is_last:
            return self._advance(self._sequence.advance(self._progress, actions=begun))
        return self._end_by(self._termination.act(begun))

    def _stopped(self, why: str) -> bool:
        """End because the operator, or a fault, stopped the arm: a start shall not go on."""
        if self._ending is None:
            return self.abort(f'the commander was stopped ({why})')
        self._finish_ending(f'; meanwhile the commander was stopped ({why})')
        return False

    def take_planner_status(self, message: Status) -> None:
        """Take what the planner says: it knows that the goal is withdrawn when it says so."""
        self._planner_goal = message.goal_id

    def take_plan(self, _message: Plan) -> bool:
        """Take a plan, whose energy is known from the embedding that it was made of."""
        return False

    def take_embedding(self, message: Embedding) -> bool:
        """Look at the present image; return whether another goal, or none, is due."""
        if self.result is not None:
            return False
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        if stamp <= self._looked_at:
            return False
        self._looked_at = stamp
        now = conversions.embedding_from_message(message)
        goal = self._sequence.current(self._progress).goal.embedding
        assert goal is not None  # make_sequence gives embeddings
        if goal.shape != now.shape:
            return self.abort(
                f'the encoder sends embeddings of shape {now.shape}, the goal has {goal.shape}'
            )
        self.energy = float(energy(now[np.newaxis], goal)[0])
        settled = conversions.nanoseconds_from_stamp(self._commander.settled)
        if self._commander.state not in _RESTS or settled == 0 or stamp <= settled:
            return False
        return self._look(stamp)

    def _look(self, stamp: int) -> bool:
        """Judge the image of the resting arm."""
        if self._ending is not None:
            if stamp > self._ending.since and not self._planner_goal:
                self._finish_ending()
            return False
        if self._is_last:
            return self._end_by(self._termination.look(self.energy))
        return self._advance(self._sequence.advance(self._progress, energy=self.energy))

    # -- how it ends ---------------------------------------------------------------------------

    def abort(self, reason: str) -> bool:
        """End without success; return whether the goal is to be withdrawn."""
        return self._end_with(PursueGoal.Result.ABORTED, reason)

    def cancel(self) -> bool:
        """End because the client wants it; return whether the goal is to be withdrawn."""
        return self._end_with(PursueGoal.Result.CANCELLED, 'cancelled by the client')

    def end(self, reason: str) -> None:
        """End because other goals, or none, are in force now."""
        self.abort(reason)

    def let_time_pass(self) -> None:
        """Give up waiting for the arm to rest, or for news of it, after a while."""
        if self._ending is not None and time.monotonic() > self._ending.deadline:
            self._finish_ending(f'; nothing was seen of it at rest for {_REST_TIMEOUT:g} s')

    @property
    def _is_last(self) -> bool:
        return self._progress.index == len(self._sequence) - 1

    def _advance(self, progress: Progress) -> bool:
        goes_on = super()._advance(progress)
        if goes_on:
            self.energy = math.nan
        return goes_on

    def _end_by(self, outcome: Outcome | None) -> bool:
        if outcome is None:
            return False
        reason = {
            Outcome.REACHED: 'the energy {0:.4f} stays below {1.energy_threshold:g}',
            Outcome.BUDGET_USED: 'all {1.max_actions} actions are used',
            Outcome.STAGNATED: 'no progress in {1.patience} actions, energy {0:.4f}',
        }[outcome].format(self.energy, self._termination.config)
        deadline = time.monotonic() + _REST_TIMEOUT
        self._ending = _Ending(_OUTCOMES[outcome], reason, self._now(), deadline)
        return True

    def _finish_ending(self, remark: str = '') -> None:
        assert self._ending is not None
        outcome, reason = self._ending.outcome, self._ending.reason
        threshold = self._termination.config.energy_threshold
        used = outcome == PursueGoal.Result.BUDGET_USED
        if used and not remark and threshold is not None and self.energy < threshold:
            outcome = PursueGoal.Result.REACHED  # by the last action
            reason += f', and the energy {self.energy:.4f} is below {threshold:g}'
        self._ending = None
        self._end_with(outcome, reason + remark)

    def _end_with(self, outcome: int, reason: str) -> bool:
        if self.result is not None:
            return False
        withdrawn = self._ending is not None
        self.result = PursueGoal.Result(
            outcome=outcome,
            reason=reason,
            goal_id=self._goal_id,
            energy=self.energy,
            actions=self.actions,
        )
        self._ended.set()
        return not withdrawn
