# SPDX-License-Identifier: Apache-2.0
"""The grasp tasks: take an object between the fingers, as one goal image shows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.evaluation.criteria import is_lifted, LIFT_HEIGHT
from vjepa_planner.evaluation.object_task import ObjectTask
from vjepa_planner.evaluation.task import SubGoalImage, TaskGoal
from vjepa_planner.simulation import FrankaSimulation, staging
from vjepa_planner.types import ACTION_DIM

MAX_ACTIONS = 15
_LIFT = LIFT_HEIGHT + 0.02  # [m] by which the judge raises the hand


class GraspTask(ObjectTask):
    """From anywhere in the workspace, with an open gripper.

    The judge raises the hand after the last action: what is grasped comes along.
    """

    def __init__(self, object_name: str) -> None:
        """Make it the task for ``'cup'`` or ``'box'``."""
        super().__init__(object_name)
        self.name = f'grasp_{object_name}'

    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the object between the fingers where it stands; see :class:`Task`."""
        self.arrange(simulation, seed)
        staging.grasp(simulation, self.moved)
        sub_goal = SubGoalImage('grasped', simulation.render(), MAX_ACTIONS)
        return TaskGoal((sub_goal,), self.position(simulation))

    def position(self, simulation: FrankaSimulation) -> npt.NDArray[np.float64]:
        """Return where the end effector is, shape (3,) [m]: the object is not to move."""
        return simulation.state()[:3]

    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Raise the hand, and return whether the object is held up by it."""
        raised = np.zeros(ACTION_DIM)
        raised[2] = _LIFT
        simulation.apply(raised)
        return is_lifted(simulation, self.moved)
