# SPDX-License-Identifier: Apache-2.0
"""The baseline that stays where it is: what copying the start pose achieves."""

from __future__ import annotations

import numpy as np

from vjepa_planner.planners.base import (
    actions_from_search,
    Evaluate,
    final_energy,
    Planner,
    PlannerConfig,
    PlannerResult,
    SEARCH_AXES,
    SEARCH_DIM,
)


class HoldPlanner(Planner):
    """Returns actions that do nothing."""

    def __init__(self, config: PlannerConfig) -> None:
        """Use the settings ``config``."""
        self.config = config

    def plan(self, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
        """Return no motion and report its energy; see :meth:`Planner.plan`."""
        still = np.zeros((self.config.horizon, SEARCH_DIM))
        for name, value in self.config.fixed_axes.items():
            still[:, SEARCH_AXES.index(name)] = value
        actions = actions_from_search(still)
        energy = final_energy(evaluate, actions)
        return PlannerResult(
            actions=actions, energy=energy, evaluations=1, iteration_energies=(energy,)
        )
