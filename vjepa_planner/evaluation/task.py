# SPDX-License-Identifier: Apache-2.0
"""What every task is: a start, goal images, and a judge that looks at the simulator's state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vjepa_planner.goal_sequence import GoalSequence, SubGoal
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.types import Goal, Image


@dataclass(frozen=True)
class SubGoalImage:
    """How the scene looks at one point on the way to the goal.

    Attributes:
        name: Of that point, for people.
        image: What the camera sees there, uint8 RGB.
        max_actions: How many actions it is pursued for.
    """

    name: str
    image: Image
    max_actions: int


@dataclass(frozen=True)
class TaskGoal:
    """What is to be done in one episode.

    Attributes:
        sub_goals: In their order; the last one is the goal itself.
        position: Of what the task moves, in the goal, shape (3,) [m]; for the judge only.
    """

    sub_goals: tuple[SubGoalImage, ...]
    position: npt.NDArray[np.float64]

    @property
    def image(self) -> Image:
        """What the camera sees when everything is done, uint8 RGB."""
        return self.sub_goals[-1].image

    @property
    def max_actions(self) -> int:
        """How many actions the whole episode has."""
        return sum(sub_goal.max_actions for sub_goal in self.sub_goals)

    def final_only(self) -> TaskGoal:
        """Return the same with nothing but the last image, for all of the actions."""
        last = self.sub_goals[-1]
        return TaskGoal((SubGoalImage(last.name, last.image, self.max_actions),), self.position)

    def sequence(self, episode: str) -> GoalSequence:
        """Return the goals for a controller; their ids begin with ``episode``."""
        return GoalSequence(
            tuple(
                SubGoal(
                    goal=Goal(image=part.image, goal_id=f'{episode}-{part.name}'),
                    max_actions=part.max_actions,
                )
                for part in self.sub_goals
            )
        )


class Task(ABC):
    """An episode of a task is decided by its seed alone, whatever ran before.

    Attributes:
        name: Of the task.
        moved: What the distance to the goal is of: the end effector, or an object.
    """

    name: str
    moved: str

    @abstractmethod
    def arrange(self, simulation: FrankaSimulation, seed: int) -> None:
        """Put the scene into the start state of an episode, at rest.

        Args:
            simulation: Reset with the seed: objects, start pose and looks depend on it.
            seed: Of the episode.
        """

    @abstractmethod
    def show_goal(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Put the scene into the goal state of an episode, and return what it looks like.

        This is an oracle: it puts arm and objects where they belong, and no policy is asked.
        """

    def start(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        """Return the goal of an episode, and leave the scene in its start state."""
        goal = self.show_goal(simulation, seed)
        self.arrange(simulation, seed)
        return goal

    @abstractmethod
    def position(self, simulation: FrankaSimulation) -> npt.NDArray[np.float64]:
        """Return where that which the task moves is now, shape (3,) [m]."""

    def distance(self, simulation: FrankaSimulation, goal: TaskGoal) -> float:
        """Return how far that which the task moves is from where the goal shows it [m]."""
        return float(np.linalg.norm(self.position(simulation) - goal.position))

    @abstractmethod
    def succeeded(self, simulation: FrankaSimulation, goal: TaskGoal) -> bool:
        """Judge what became of the episode by the simulation alone.

        The episode is over: a judge may move the arm to see what comes along.
        """
