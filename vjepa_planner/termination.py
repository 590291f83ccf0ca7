# SPDX-License-Identifier: Apache-2.0
"""When the pursuit of a goal is over: reached, no more actions, or no more progress.

Planning one step after the other never ends by itself: close to the goal the arm would go to and
fro between steps of nearly the same energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
import math

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.goal_sequence import check_budget


class Outcome(Enum):
    """Why a pursuit is over."""

    REACHED = 'reached'
    BUDGET_USED = 'budget used'
    STAGNATED = 'stagnated'


@dataclass(frozen=True, kw_only=True)
class TerminationConfig:
    """What counts as reached and as progress.

    Attributes:
        max_actions: Actions after which it is over, whatever the energy.
        energy_threshold: Reached is what has less energy than this; None: nothing does.
        looks: Looks in a row that have to be below the threshold.
        patience: Actions without progress after which it stagnates.
        min_progress: Part of the lowest energy so far by which a lower one counts as progress.
    """

    max_actions: int
    energy_threshold: float | None = None
    looks: int = 3
    patience: int = 8
    min_progress: float = 0.01

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_budget(self.max_actions, self.energy_threshold)
        if self.looks < 1 or self.patience < 1 or not 0.0 <= self.min_progress < 1.0:
            raise InvalidInputError(
                'looks and patience must be at least 1 and min_progress in 0..1, got '
                f'{self.looks}, {self.patience} and {self.min_progress}.'
            )


class Termination:
    """Counts the actions towards one goal and compares the energies of looks at the resting arm.

    Attributes:
        actions: Begun so far.
        best: Lowest energy so far that counted as progress; infinite before the first look.
    """

    def __init__(self, config: TerminationConfig) -> None:
        """Begin without a look."""
        self.config = config
        self.actions = 0
        self.best = math.inf
        self._best_after = 0  # actions
        self._below = 0  # looks in a row

    def act(self, actions: int = 1) -> Outcome | None:
        """Count actions that have begun; return BUDGET_USED if no more may follow."""
        self.actions += actions
        return Outcome.BUDGET_USED if self.actions >= self.config.max_actions else None

    def look(self, energy: float) -> Outcome | None:
        """Take the energy of an image of the resting arm; return whether the pursuit is over."""
        threshold = self.config.energy_threshold
        self._below = self._below + 1 if threshold is not None and energy < threshold else 0
        if self._below >= self.config.looks:
            return Outcome.REACHED
        if energy < self.best * (1.0 - self.config.min_progress) or math.isinf(self.best):
            self.best, self._best_after = energy, self.actions
        waited = self.actions - self._best_after
        # Below the threshold it is reached in a look or two, unless another action spoils it.
        if waited >= self.config.patience and self._below == 0:
            return Outcome.STAGNATED
        return None
