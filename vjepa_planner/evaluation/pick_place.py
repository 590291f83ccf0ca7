# SPDX-License-Identifier: Apache-2.0
"""The pick-and-place tasks: put an object on the plate, by way of three goal images."""

from __future__ import annotations

import numpy as np

from vjepa_planner.evaluation.criteria import is_placed
from vjepa_planner.evaluation.object_task import ObjectTask
from vjepa_planner.evaluation.task import SubGoalImage, TaskGoal
from vjepa_planner.simulation import FrankaSimulation, PLATE, staging
from vjepa_planner.simulation.scene import GRASP_HEIGHT

# Actions for each sub-goal, as in the V-JEPA 2 paper, section 4.2.
GRASPED_ACTIONS, NEAR_ACTIONS, PLACED_ACTIONS = 4, 10, 4

_ABOVE = 0.07  # [m] above the grasp height when near the target: one action

# Four actions up to the grasp are two across, one down and one to close. With start poses from all
# over the workspace even a scripted hand needs more in two episodes of three (docs/evaluation.md).
_START_ACROSS = 0.13  # [m] per axis from the object to the start pose
_START_HEIGHT = 0.12, 0.24  # [m]


class PickPlaceTask(ObjectTask):
    """From a start pose that is two actions from above the object, with an open gripper."""

    def __init__(self, object_name: str) -> None:
        """Make it the task for ``'cup'`` or ``'box'``."""
        super().__init__(object_name)
        self.name = f'pick_place_{object_name}'

    def _is_start(self, simulation: FrankaSimulation) -> bool:
        hand = simulation.state()[:3]
        across = np.abs(hand - self.position(simulation))[:2].max()
        return bool(across <= _START_ACROSS and _START_HEIGHT[0] <= hand[2] <= _START_HEIGHT[1])

    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the object on the plate, with a look at the states before; see :class:`Task`."""
        self.arrange(simulation, seed)
        height = GRASP_HEIGHT[self.moved]
        staging.grasp(simulation, self.moved)
        grasped = SubGoalImage('grasped', simulation.render(), GRASPED_ACTIONS)
        near_plate = simulation.state()[:3]
        offset = simulation.objects.position(PLATE) - self.position(simulation)
        near_plate[:2] += offset[:2]
        near_plate[2] = height + _ABOVE
        staging.carry(simulation, self.moved, near_plate)
        near = SubGoalImage('near', simulation.render(), NEAR_ACTIONS)
        staging.put_down(simulation, self.moved, height)
        placed = SubGoalImage('placed', simulation.render(), PLACED_ACTIONS)
        return TaskGoal((grasped, near, placed), self.position(simulation))

    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Return whether the object stands on the plate and is not held."""
        return is_placed(simulation, self.moved)
