# SPDX-License-Identifier: Apache-2.0
"""The reach task: starts, goals, and who judges."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.evaluation.criteria import SUCCESS_DISTANCE
from vjepa_planner.evaluation.reach import MAX_ACTIONS, ReachTask
from vjepa_planner.simulation import (
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)

OBJECTS = ('cup', 'box', 'plate')


@pytest.fixture(scope='module')
def simulation() -> FrankaSimulation:
    config = SimulationConfig(image_size=32, vary=frozenset({'colors'}))
    return FrankaSimulation(config)


def test_the_rules_are_those_of_the_paper() -> None:
    assert SUCCESS_DISTANCE == 0.04
    assert MAX_ACTIONS == 15


def test_starts_and_goals_fill_the_workspace_and_lie_ten_centimetres_apart(
    simulation: FrankaSimulation,
) -> None:
    task, starts, goals = ReachTask(), [], []
    for seed in range(24):
        goal = task.start(simulation, seed)
        starts.append(simulation.state()[:3])
        goals.append(goal.position)
        assert task.distance(simulation, goal) >= 0.0999
    for positions in (np.array(starts), np.array(goals)):
        assert (positions >= WORKSPACE_MIN - 0.001).all()
        assert (positions <= WORKSPACE_MAX + 0.001).all()
        assert (np.ptp(positions, axis=0) > 0.7 * (WORKSPACE_MAX - WORKSPACE_MIN)).all()


def test_an_episode_starts_at_rest_where_the_seed_puts_it(simulation: FrankaSimulation) -> None:
    for seed in (1, 2, 3):
        simulation.reset(seed)
        expected, joints = simulation.state(), simulation.joint_positions()
        ReachTask().start(simulation, seed)
        np.testing.assert_allclose(simulation.state(), expected, atol=1e-4)
        np.testing.assert_allclose(simulation.joint_positions(), joints, atol=1e-3)
        assert np.abs(simulation.joint_velocities()).max() == 0.0
        assert simulation.time == 0.0


def test_the_goal_image_shows_the_scene_with_nothing_but_the_arm_moved(
    simulation: FrankaSimulation,
) -> None:
    for seed in (4, 5):
        simulation.reset(seed)
        before = {name: simulation.object_position(name) for name in OBJECTS}
        goal = ReachTask().start(simulation, seed)
        for name, position in before.items():
            np.testing.assert_array_equal(simulation.object_position(name), position)
        start = simulation.render()
        assert not np.array_equal(start, goal.image)
        # The arm at the goal, everything else as it is: the same picture again.
        simulation.place_end_effector(goal.position)
        again = simulation.render().astype(int)
        changed = np.abs(again - goal.image).max(axis=-1) > 25
        moved = np.abs(start.astype(int) - goal.image).max(axis=-1) > 25
        assert changed.mean() < 0.05 < moved.mean()  # the goal's small tilt is not repeated


def test_the_same_seed_is_the_same_task(simulation: FrankaSimulation) -> None:
    first = ReachTask().start(simulation, 6)
    state = simulation.state()
    again = ReachTask().start(simulation, 6)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.position, again.position)
    np.testing.assert_array_equal(simulation.state(), state)
    assert not np.array_equal(ReachTask().start(simulation, 7).image, first.image)


def test_the_distance_is_that_of_the_arm_in_the_simulator(simulation: FrankaSimulation) -> None:
    task = ReachTask()
    goal = task.start(simulation, 8)
    simulation.place_end_effector(goal.position)
    assert task.distance(simulation, goal) < 0.001
    simulation.place_end_effector(goal.position + np.array([0.0, 0.0, 0.05]))
    assert task.distance(simulation, goal) == pytest.approx(0.05, abs=0.001)
