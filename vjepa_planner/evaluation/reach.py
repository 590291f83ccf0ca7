# SPDX-License-Identifier: Apache-2.0
"""The reach task: bring the end effector to where a goal image shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.types import Image

SUCCESS_DISTANCE = 0.04
"""Distance to the goal pose below which a reach has succeeded [m], as in the paper."""

MAX_ACTIONS = 15
MIN_START_DISTANCE = 0.10  # [m]


@dataclass(frozen=True)
class ReachGoal:
    """Where to go.

    Attributes:
        image: What the camera sees with the arm there, uint8 RGB.
        position: Of the tool centre point in the base frame, shape (3,) [m]; for the judge only.
    """

    image: Image
    position: npt.NDArray[np.float64]


class ReachTask:
    """Start and goal poses over the whole workspace in view, at least 10 cm apart.

    The goal has the orientation of the start: planners of V-JEPA 2-AC do not search rotations.
    """

    name = 'reach'

    def start(self, simulation: FrankaSimulation, seed: int) -> ReachGoal:
        """Reset to an episode, leave the arm at its start pose, and return the goal.

        Args:
            simulation: Reset with the seed: objects, start pose and looks depend on it.
            seed: Of the episode.
        """
        simulation.reset(seed)
        start = simulation.state()
        rng = np.random.default_rng([seed, 2])
        while True:
            simulation.place_end_effector_randomly(rng, euler=start[3:6])
            if np.linalg.norm(simulation.state()[:3] - start[:3]) >= MIN_START_DISTANCE:
                break
        goal = ReachGoal(simulation.render(), simulation.state()[:3])
        simulation.place_end_effector(start[:3], start[3:6])
        return goal

    def distance(self, simulation: FrankaSimulation, goal: ReachGoal) -> float:
        """Return how far the end effector is from the goal pose [m]."""
        return float(np.linalg.norm(simulation.state()[:3] - goal.position))
