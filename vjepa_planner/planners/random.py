# SPDX-License-Identifier: Apache-2.0
"""The baseline that looks at nothing: a random action sequence inside the limits."""

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


class RandomPlanner(Planner):
    """Returns actions drawn uniformly inside the limits; what any planner has to beat."""

    def __init__(self, config: PlannerConfig) -> None:
        """Use the settings ``config``."""
        self.config = config

    def plan(self, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
        """Draw one action sequence and report its energy; see :meth:`Planner.plan`."""
        drawn = rng.uniform(-1.0, 1.0, (self.config.horizon, SEARCH_DIM)) * self.config.limits
        for name, value in self.config.fixed_axes.items():
            drawn[:, SEARCH_AXES.index(name)] = value
        actions = actions_from_search(drawn)
        energy = final_energy(evaluate, actions)
        return PlannerResult(
            actions=actions, energy=energy, evaluations=1, iteration_energies=(energy,)
        )
