# SPDX-License-Identifier: Apache-2.0
"""Whole episodes with planners whose result is known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vjepa_planner.evaluation import evaluate, find_task, ReachTask, run_episode, TaskGoal
from vjepa_planner.evaluation.reach import MAX_ACTIONS
from vjepa_planner.mpc import ModelPredictiveController
from vjepa_planner.planners import (
    make_planner,
    Planner,
    PlannerConfig,
    PlannerResult,
    RandomPlanner,
)
from vjepa_planner.planners.base import Evaluate
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig
from vjepa_planner.world_model import load_world_model, WorldModel


@pytest.fixture(scope='module')
def simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=32, vary=frozenset({'colors'})))


@pytest.fixture(scope='module')
def world_model(tiny_model: Path) -> WorldModel:
    return load_world_model(tiny_model, device='cpu')


class KnownReach(ReachTask):
    """The task itself, which also remembers its goal."""

    goal: TaskGoal

    def start(self, simulation: FrankaSimulation, seed: int) -> TaskGoal:
        self.goal = super().start(simulation, seed)
        return self.goal


class Oracle(Planner):
    """Moves along the true displacement, within the limits of every planner."""

    def __init__(self, simulation: FrankaSimulation, task: KnownReach) -> None:
        self.config = PlannerConfig()
        self._simulation, self._task = simulation, task

    def plan(self, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
        limit = self.config.max_translation
        actions = np.zeros((1, 7))
        there = self._task.goal.position - self._simulation.state()[:3]
        actions[0, :3] = np.clip(there, -limit, limit)
        return PlannerResult(actions=actions, energy=0.0, evaluations=0, iteration_energies=())


def test_who_knows_the_goal_pose_always_reaches_it(
    simulation: FrankaSimulation, world_model: WorldModel
) -> None:
    task = KnownReach()
    controller = ModelPredictiveController(world_model, Oracle(simulation, task))
    for seed in (700_000, 700_001, 700_002):
        result = run_episode(controller, simulation, task, seed).result
        assert result.success
        assert result.final_distance < 0.005
        assert result.distances[0] >= 0.0999


def test_who_stays_at_the_start_never_does(
    simulation: FrankaSimulation, world_model: WorldModel
) -> None:
    planner = make_planner('hold')
    for episode in evaluate(world_model, planner, simulation, [700_000, 700_003]):
        result = episode.result
        assert not result.success
        np.testing.assert_allclose(result.distances, result.distances[0], atol=0.003)
        np.testing.assert_allclose(result.energies, result.energies[0], atol=0.02)


def test_an_episode_has_all_its_actions_and_is_judged_where_the_arm_ended(
    simulation: FrankaSimulation, world_model: WorldModel
) -> None:
    task = KnownReach()
    controller = ModelPredictiveController(world_model, make_planner('random'), seed=1)
    episode = run_episode(controller, simulation, task, 700_004)
    result = episode.result
    assert result.seed == 700_004
    assert len(result.distances) == MAX_ACTIONS + 1
    assert len(result.energies) == len(result.seconds) == MAX_ACTIONS
    truth = np.linalg.norm(simulation.ee_pose()[0] - task.goal.position)
    assert result.final_distance == pytest.approx(truth, abs=1e-9)
    assert result.success == (truth < 0.04)
    assert min(result.seconds) > 0
    assert result.sub_goals == (0,) * MAX_ACTIONS
    assert len(episode.images) == MAX_ACTIONS + 1
    np.testing.assert_array_equal(episode.images[-1], simulation.render())
    assert episode.goal is task.goal


def test_an_episode_is_repeated_by_its_seed_whatever_ran_before(
    simulation: FrankaSimulation, world_model: WorldModel
) -> None:
    planner = RandomPlanner(PlannerConfig())
    task = find_task('grasp_cup')
    first, second = evaluate(world_model, planner, simulation, [700_005, 700_006], task)
    (again,) = evaluate(world_model, planner, simulation, [700_006], task)
    assert again.result.distances == second.result.distances
    assert again.result.energies == second.result.energies
    assert first.result.energies != second.result.energies
