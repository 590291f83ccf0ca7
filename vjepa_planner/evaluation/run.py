# SPDX-License-Identifier: Apache-2.0
"""Runs episodes: look, plan, act, look again, until the actions are used up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vjepa_planner.evaluation.reach import MAX_ACTIONS, ReachTask, SUCCESS_DISTANCE
from vjepa_planner.evaluation.report import EpisodeResult
from vjepa_planner.mpc import ModelPredictiveController
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.types import Goal

if TYPE_CHECKING:
    from vjepa_planner.planners import Planner
    from vjepa_planner.world_model import WorldModel


def evaluate(
    world_model: WorldModel,
    planner: Planner,
    simulation: FrankaSimulation,
    seeds: Iterable[int],
) -> Iterator[EpisodeResult]:
    """Yield the result of the reach task for each seed; every episode plans from its own seed."""
    task = ReachTask()
    for seed in seeds:
        controller = ModelPredictiveController(world_model, planner, seed=seed)
        yield run_episode(controller, simulation, task, seed)


def run_episode(
    controller: ModelPredictiveController,
    simulation: FrankaSimulation,
    task: ReachTask,
    seed: int,
) -> EpisodeResult:
    """Run one episode to its last action and judge where the arm ended."""
    reach_goal = task.start(simulation, seed)
    goal = Goal(image=reach_goal.image, goal_id=f'{task.name}-{seed}')
    distances, energies, seconds = [task.distance(simulation, reach_goal)], [], []
    for _ in range(MAX_ACTIONS):
        plan = controller.plan(simulation.observe(), goal)
        simulation.apply(plan.actions[0])
        distances.append(task.distance(simulation, reach_goal))
        energies.append(plan.current_energy)
        seconds.append(plan.duration)
    return EpisodeResult(
        seed=seed,
        success=distances[-1] < SUCCESS_DISTANCE,
        distances=tuple(distances),
        energies=tuple(energies),
        seconds=tuple(seconds),
    )
