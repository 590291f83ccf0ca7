# SPDX-License-Identifier: Apache-2.0
"""Two goals in one scene: what the camera would see with the arm there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vjepa_planner.evaluation import SubGoalImage, TaskGoal
from vjepa_planner.evaluation.reach import MAX_ACTIONS, MIN_START_DISTANCE
from vjepa_planner.simulation import FrankaSimulation

_MAX_DRAWS = 1000


def make_goals(seed: int, count: int = 2) -> list[TaskGoal]:
    """Return goals that are at least 10 cm from each other and from where the arm starts.

    Poses are drawn like those of the reach task, and the first one is the reach task's. The scene
    is that of the node ``simulator`` with the same seed.

    Args:
        seed: Of the scene and of the drawing.
        count: Number of goals.
    """
    simulation = FrankaSimulation()
    simulation.reset(seed)
    start = simulation.state()
    taken = [start[:3]]
    goals: list[TaskGoal] = []
    rng = np.random.default_rng([seed, 2])
    for _ in range(_MAX_DRAWS):
        simulation.place_end_effector_randomly(rng, euler=start[3:6])
        position = simulation.state()[:3]
        if _is_apart(position, taken):
            taken.append(position)
            image = SubGoalImage('reached', simulation.render(), MAX_ACTIONS)
            goals.append(TaskGoal((image,), position))
        if len(goals) == count:
            break
    simulation.close()
    return goals


def _is_apart(position: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    """Return whether a position, shape (3,) [m], keeps its distance from all others."""
    return all(np.linalg.norm(position - other) >= MIN_START_DISTANCE for other in others)
