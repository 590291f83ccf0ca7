# SPDX-License-Identifier: Apache-2.0
"""The grasp tasks: take an object between the fingers and lift it, as one goal image shows."""

from __future__ import annotations

import numpy as np

from vjepa_planner.evaluation.criteria import is_lifted
from vjepa_planner.evaluation.object_task import ObjectTask
from vjepa_planner.evaluation.task import SubGoalImage, TaskGoal
from vjepa_planner.simulation import FrankaSimulation, staging

MAX_ACTIONS = 15
_GOAL_LIFT = np.array([0.0, 0.0, 0.08])  # [m] twice what the judge asks for


class GraspTask(ObjectTask):
    """From anywhere in the workspace, with an open gripper."""

    def __init__(self, object_name: str) -> None:
        """Make it the task for ``'cup'`` or ``'box'``."""
        super().__init__(object_name)
        self.name = f'grasp_{object_name}'

    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the object between the fingers above its place; see :class:`Task`."""
        self.arrange(simulation, seed)
        staging.grasp(simulation, self.moved)
        staging.carry(simulation, self.moved, simulation.state()[:3] + _GOAL_LIFT)
        sub_goal = SubGoalImage('lifted', simulation.render(), MAX_ACTIONS)
        return TaskGoal((sub_goal,), self.position(simulation))

    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Return whether the object is lifted, wherever it is."""
        return is_lifted(simulation, self.moved)
