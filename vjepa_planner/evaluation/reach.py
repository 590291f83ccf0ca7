# SPDX-License-Identifier: Apache-2.0
"""The reach task: bring the end effector to where a goal image shows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.evaluation.criteria import SUCCESS_DISTANCE
from vjepa_planner.evaluation.task import SubGoalImage, Task, TaskGoal
from vjepa_planner.simulation import FrankaSimulation

MAX_ACTIONS = 15
MIN_START_DISTANCE = 0.10  # [m]


class ReachTask(Task):
    """Start and goal poses over the whole workspace in view, at least 10 cm apart.

    The goal has the orientation of the start: planners of V-JEPA 2-AC do not search rotations.
    """

    name = 'reach'
    moved = 'end effector'

    def arrange(self, simulation: FrankaSimulation, seed: int) -> None:
        """Put the scene into the start state; see :class:`Task`."""
        simulation.reset(seed)

    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the arm into a pose that is far enough from the start; see :class:`Task`."""
        self.arrange(simulation, seed)
        start = simulation.state()
        rng = np.random.default_rng([seed, 2])
        while True:
            simulation.place_end_effector_randomly(rng, euler=start[3:6])
            if np.linalg.norm(simulation.state()[:3] - start[:3]) >= MIN_START_DISTANCE:
                break
        sub_goal = SubGoalImage('reached', simulation.render(), MAX_ACTIONS)
        return TaskGoal((sub_goal,), self.position(simulation))

    def position(self, simulation: FrankaSimulation) -> npt.NDArray[np.float64]:
        """Return where the end effector is, shape (3,) [m]."""
        return simulation.state()[:3]

    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Return whether the end effector is within 4 cm of the goal pose."""
        return self.distance(simulation, goal) < SUCCESS_DISTANCE
