# SPDX-License-Identifier: Apache-2.0
"""A privileged policy that solves the tasks, to prove that the action space and budgets allow it.

It reads the positions of objects and goal from the simulator. It is a yardstick for tests and for
``docs/evaluation.md``; no evaluation of a model uses it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vjepa_planner.evaluation.criteria import is_placed
from vjepa_planner.evaluation.object_task import ObjectTask
from vjepa_planner.evaluation.pick_place import PickPlaceTask
from vjepa_planner.evaluation.task import Task, TaskGoal
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.simulation.scripted_hand import ScriptedHand
from vjepa_planner.types import Goal, Observation, Plan


class ScriptedExpert:
    """Acts like a controller, but looks at the simulator and not at images."""

    def __init__(self, simulation: FrankaSimulation, task: Task, goal: TaskGoal) -> None:
        """Solve one episode of ``task`` in ``simulation``."""
        self._simulation, self._task, self._goal = simulation, task, goal
        self._hand = ScriptedHand(simulation)

    def plan(self, observation: Observation, goal: Goal) -> Plan:
        """Return the next action; the sub-goal in force does not matter."""
        return Plan(
            actions=self._action(observation.state[:3])[None],
            energy=math.nan,
            current_energy=math.nan,
            evaluations=0,
            duration=0.0,
            stamp=observation.stamp,
            goal_id=goal.goal_id,
        )

    def _action(self, hand: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        task, simulation = self._task, self._simulation
        missing = self._goal.position - task.position(simulation)
        if not isinstance(task, ObjectTask):
            return self._hand.move(hand + missing)
        if isinstance(task, PickPlaceTask) and is_placed(simulation, task.moved):
            return self._hand.move(hand)
        if not simulation.objects.is_between_fingers(task.moved):
            return self._hand.grasp(task.moved)
        if isinstance(task, PickPlaceTask):
            return self._hand.put_down(task.moved, self._goal.position)
        return self._hand.move(hand + missing)
