# SPDX-License-Identifier: Apache-2.0
"""The reach-with-object tasks: bring a held object to where a goal image shows it."""

from __future__ import annotations

import numpy as np

from vjepa_planner.evaluation.criteria import is_lifted, SUCCESS_DISTANCE
from vjepa_planner.evaluation.object_task import ObjectTask
from vjepa_planner.evaluation.reach import MAX_ACTIONS, MIN_START_DISTANCE
from vjepa_planner.evaluation.task import SubGoalImage, TaskGoal
from vjepa_planner.simulation import FrankaSimulation, staging, WORKSPACE_MAX, WORKSPACE_MIN
from vjepa_planner.simulation.scene import CUP_HEIGHT, GRASP_HEIGHT

_MARGIN = 0.01  # [m] by which the object passes over what stands on the table
_SETTLE_TIME = 0.2  # [s]


class ReachWithObjectTask(ObjectTask):
    """Start and goal lie high enough for every straight way between them to be free."""

    def __init__(self, object_name: str) -> None:
        """Make it the task for ``'cup'`` or ``'box'``."""
        super().__init__(object_name)
        self.name = f'reach_with_{object_name}'

    def arrange(self, simulation: FrankaSimulation, seed: int) -> None:
        """Put the object between the fingers somewhere in the air; see :class:`Task`."""
        super().arrange(simulation, seed)
        staging.grasp(simulation, self.moved)
        staging.carry(simulation, self.moved, self._draw(np.random.default_rng([seed, 4])))
        simulation.advance(_SETTLE_TIME)

    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the object, between the fingers, somewhere else; see :class:`Task`."""
        self.arrange(simulation, seed)
        start = simulation.state()[:3]
        rng = np.random.default_rng([seed, 5])
        place = start
        while np.linalg.norm(place - start) < MIN_START_DISTANCE:
            place = self._draw(rng)
        staging.carry(simulation, self.moved, place)
        sub_goal = SubGoalImage('reached', simulation.render(), MAX_ACTIONS)
        return TaskGoal((sub_goal,), self.position(simulation))

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return a random place of the tool centre point, shape (3,) [m]."""
        height = CUP_HEIGHT + _MARGIN + GRASP_HEIGHT[self.moved]
        return rng.uniform([*WORKSPACE_MIN[:2], height], WORKSPACE_MAX)

    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Return whether the object is held, and within 4 cm of where the goal shows it."""
        near = self.distance(simulation, goal) < SUCCESS_DISTANCE
        return near and is_lifted(simulation, self.moved)
