# SPDX-License-Identifier: Apache-2.0
"""Runs episodes: look, plan, act, look again, until the actions are used up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TYPE_CHECKING

from vjepa_planner.evaluation.reach import ReachTask
from vjepa_planner.evaluation.report import EpisodeResult
from vjepa_planner.evaluation.task import Task, TaskGoal
from vjepa_planner.goal_sequence import GoalSequence, Progress
from vjepa_planner.mpc import ModelPredictiveController
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.types import Goal, Image, Observation, Plan

if TYPE_CHECKING:
    from vjepa_planner.planners import Planner
    from vjepa_planner.world_model import WorldModel


class Policy(Protocol):
    """Whoever acts in an episode, like :class:`ModelPredictiveController`."""

    def plan(self, observation: Observation, goal: Goal) -> Plan:
        """Return what to do now; the first action is executed."""
        ...


@dataclass(frozen=True)
class Episode:
    """One episode: what came of it, and what it looked like.

    Attributes:
        result: The numbers.
        goal: What was to be done.
        images: What the camera saw before the first action and after each, uint8 RGB.
    """

    result: EpisodeResult
    goal: TaskGoal
    images: tuple[Image, ...]


def evaluate(
    world_model: WorldModel,
    planner: Planner,
    simulation: FrankaSimulation,
    seeds: Iterable[int],
    task: Task | None = None,
    *,
    final_goal_only: bool = False,
) -> Iterator[Episode]:
    """Yield the episode of each seed; every episode plans from its own seed.

    Args:
        world_model: Encodes and predicts.
        planner: Searches.
        simulation: Where it happens.
        seeds: Of the episodes.
        task: Reach if left out.
        final_goal_only: Pursue the last goal image alone, for all of the task's actions.
    """
    for seed in seeds:
        controller = ModelPredictiveController(world_model, planner, seed=seed)
        yield run_episode(
            controller, simulation, task or ReachTask(), seed, final_goal_only=final_goal_only
        )


def run_episode(
    policy: Policy,
    simulation: FrankaSimulation,
    task: Task,
    seed: int,
    *,
    final_goal_only: bool = False,
) -> Episode:
    """Run one episode to its last action and judge where it ended."""
    goal = task.start(simulation, seed)
    if final_goal_only:
        goal = goal.final_only()
    run = _Run(policy, simulation, goal.sequence(f'{task.name}-{seed}'))
    distances = [task.distance(simulation, goal)]
    for _ in run.actions():
        distances.append(task.distance(simulation, goal))
    result = EpisodeResult(
        seed=seed,
        success=task.succeeded(simulation, goal),
        distances=tuple(distances),
        energies=tuple(plan.current_energy for plan in run.plans),
        seconds=tuple(plan.duration for plan in run.plans),
        sub_goals=tuple(run.sub_goals),
    )
    return Episode(result, goal, tuple(run.images))


class _Run:
    """The loop of one episode, and what it leaves."""

    def __init__(
        self, policy: Policy, simulation: FrankaSimulation, sequence: GoalSequence
    ) -> None:
        self._policy, self._simulation, self._sequence = policy, simulation, sequence
        self.plans: list[Plan] = []
        self.sub_goals: list[int] = []  # in force at each action
        self.images: list[Image] = []

    def actions(self) -> Iterator[None]:
        """Act until every sub-goal has been pursued, with a pause after each action."""
        progress = Progress()
        while not self._sequence.is_done(progress):
            observation = self._simulation.observe()
            assert observation.image is not None
            plan = self._policy.plan(observation, self._sequence.current(progress).goal)
            self._simulation.apply(plan.actions[0])
            self.images.append(observation.image)
            self.plans.append(plan)
            self.sub_goals.append(progress.index)
            progress = self._sequence.advance(progress, actions=1)
            yield
        self.images.append(self._simulation.render())
