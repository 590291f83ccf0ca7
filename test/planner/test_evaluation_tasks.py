# SPDX-License-Identifier: Apache-2.0
"""The contract of all tasks: starts, goals, judges, and that somebody can solve them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from vjepa_planner.errors import MissingDependencyError, UnknownNameError
from vjepa_planner.evaluation import available_tasks, find_task, run_episode, Task
from vjepa_planner.evaluation.scripted_expert import ScriptedExpert
from vjepa_planner.simulation import (
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)
from vjepa_planner.types import Goal, Observation, Plan

SEEDS = (700_100, 700_101, 700_102)
EVERYTHING = frozenset({'colors', 'lights', 'camera'})

TASKS = [find_task(name) for name in available_tasks()]


def over(tasks: list[Task]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('task', tasks, ids=[task.name for task in tasks])


each_task = over(TASKS)
object_tasks = over([task for task in TASKS if task.name != 'reach'])
pick_place_tasks = over([task for task in TASKS if task.name.startswith('pick_place')])


@pytest.fixture(scope='module')
def simulation() -> Iterator[FrankaSimulation]:
    config = SimulationConfig(image_size=64, vary=EVERYTHING)
    with closing(FrankaSimulation(config)) as made:
        yield made


class Still:
    """Does nothing, and remembers which goals it was given."""

    def __init__(self) -> None:
        self.goal_ids: list[str] = []

    def plan(self, observation: Observation, goal: Goal) -> Plan:
        self.goal_ids.append(goal.goal_id)
        return Plan(
            actions=np.zeros((1, 7)),
            energy=0.0,
            current_energy=1.0,
            evaluations=0,
            duration=0.001,
            stamp=observation.stamp,
        )


def snapshot(simulation: FrankaSimulation) -> list[np.ndarray]:
    return [
        simulation.data.qpos.copy(),
        simulation.data.qvel.copy(),
        simulation.data.mocap_pos.copy(),
        simulation.render(),
    ]


def difference(first: np.ndarray, second: np.ndarray) -> int:
    """Return how many pixels clearly differ."""
    return int((np.abs(first.astype(int) - second).max(axis=-1) > 25).sum())


def test_the_tasks_are_those_of_the_papers_table() -> None:
    assert set(available_tasks()) == {
        'reach', 'grasp_cup', 'grasp_box', 'reach_with_cup', 'reach_with_box',
        'pick_place_cup', 'pick_place_box',
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match=r"'grasp_cups'.* Did you mean 'grasp_cup'"):
        find_task('grasp_cups')


@each_task
def test_the_goal_state_is_a_success_that_lasts_and_the_start_state_is_none(
    simulation: FrankaSimulation, task: Task
) -> None:
    for seed in SEEDS:
        goal = task.show_goal(simulation, seed)
        assert task.distance(simulation, goal) < 1e-9
        np.testing.assert_array_equal(simulation.render(), goal.image)
        simulation.advance(1.0)
        assert task.distance(simulation, goal) < 0.01
        assert task.succeeded(simulation, goal)
        goal = task.start(simulation, seed)
        assert not task.succeeded(simulation, goal)
        assert task.distance(simulation, goal) > 0.04


@each_task
def test_holding_still_fails(simulation: FrankaSimulation, task: Task) -> None:
    episode = run_episode(Still(), simulation, task, SEEDS[0])
    assert not episode.result.success
    assert np.ptp(episode.result.distances) < 0.005


@each_task
def test_every_goal_image_shows_something_else_than_the_start_and_the_others(
    simulation: FrankaSimulation, task: Task
) -> None:
    for seed in SEEDS:
        goal = task.start(simulation, seed)
        images = [simulation.render(), *(part.image for part in goal.sub_goals)]
        for index, image in enumerate(images):
            assert image.shape == (64, 64, 3)
            for other in images[index + 1 :]:
                assert difference(image, other) > 20


@each_task
def test_the_seed_decides_an_episode_whatever_ran_before(
    simulation: FrankaSimulation, task: Task
) -> None:
    goal = task.start(simulation, SEEDS[0])
    first = snapshot(simulation)
    rng = np.random.default_rng(0)
    for _ in range(3):
        simulation.apply(np.append(rng.uniform(-0.07, 0.07, 6), rng.uniform(-1, 1)))
    other_goal = find_task('pick_place_box').start(simulation, SEEDS[1])
    assert not np.array_equal(other_goal.image, goal.image)
    again = task.start(simulation, SEEDS[0])
    for before, after in zip(first, snapshot(simulation), strict=True):
        np.testing.assert_array_equal(before, after)
    for one, two in zip(goal.sub_goals, again.sub_goals, strict=True):
        assert (one.name, one.max_actions) == (two.name, two.max_actions)
        np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(goal.position, again.position)
    assert not np.array_equal(task.start(simulation, SEEDS[1]).image, goal.image)


@each_task
def test_looks_do_not_change_what_is_to_be_done(task: Task) -> None:
    with (
        closing(FrankaSimulation(SimulationConfig(image_size=16))) as plain,
        closing(FrankaSimulation(SimulationConfig(image_size=16, vary=EVERYTHING))) as varied,
    ):
        one, two = task.start(plain, SEEDS[2]), task.start(varied, SEEDS[2])
        np.testing.assert_array_equal(one.position, two.position)
        np.testing.assert_array_equal(plain.data.qpos, varied.data.qpos)
        assert not np.array_equal(one.image, two.image)


@each_task
def test_the_opengl_camera_sees_the_same_task(task: Task) -> None:
    try:
        simulation = FrankaSimulation(SimulationConfig(image_size=64, renderer='gl'))
    except MissingDependencyError as error:
        pytest.skip(f'no OpenGL on this machine: {error}')
    with closing(simulation), closing(FrankaSimulation(SimulationConfig(image_size=64))) as rays:
        goal, same = task.start(simulation, SEEDS[0]), task.start(rays, SEEDS[0])
        np.testing.assert_array_equal(goal.position, same.position)
        assert difference(goal.image, simulation.render()) > 20


@object_tasks
def test_objects_lie_within_reach_and_the_arm_touches_nothing_but_what_it_holds(
    simulation: FrankaSimulation, task: Task
) -> None:
    for seed in range(700_110, 700_130):
        task.arrange(simulation, seed)
        objects = simulation.objects
        for name in ('cup', 'box', 'plate'):
            place = objects.position(name)[:2]
            if not objects.is_between_fingers(name):
                assert (place >= WORKSPACE_MIN[:2] + 0.019).all()
                assert (place <= WORKSPACE_MAX[:2] - 0.019).all()
        held = [name for name in ('cup', 'box') if objects.touching_fingers(name)]
        assert held == ([task.moved] if task.name.startswith('reach_with') else [])
        assert np.abs(simulation.data.qvel).max() < 0.05


@pick_place_tasks
def test_pick_and_place_follows_the_papers_sub_goals_switched_by_count(
    simulation: FrankaSimulation, task: Task
) -> None:
    policy = Still()
    episode = run_episode(policy, simulation, task, SEEDS[0])
    names = [goal_id.rsplit('-', 1)[1] for goal_id in policy.goal_ids]
    assert names == 4 * ['grasped'] + 10 * ['near'] + 4 * ['placed']
    assert episode.result.sub_goals == (0,) * 4 + (1,) * 10 + (2,) * 4
    assert len(episode.images) == len(episode.result.distances) == 19


@pick_place_tasks
def test_the_single_final_goal_has_the_whole_budget(
    simulation: FrankaSimulation, task: Task
) -> None:
    policy = Still()
    episode = run_episode(policy, simulation, task, SEEDS[0], final_goal_only=True)
    assert policy.goal_ids == [f'{task.name}-{SEEDS[0]}-placed'] * 18
    np.testing.assert_array_equal(episode.goal.image, task.show_goal(simulation, SEEDS[0]).image)


@each_task
def test_who_knows_where_everything_is_solves_it_within_the_budget(
    simulation: FrankaSimulation, task: Task
) -> None:
    for seed in SEEDS:
        goal = task.start(simulation, seed)
        episode = run_episode(ScriptedExpert(simulation, task, goal), simulation, task, seed)
        assert episode.result.success, seed


@pick_place_tasks
def test_four_actions_are_enough_to_grasp(simulation: FrankaSimulation, task: Task) -> None:
    for seed in range(700_130, 700_140):
        goal = task.start(simulation, seed)
        expert = ScriptedExpert(simulation, task, goal)
        for _ in range(goal.sub_goals[0].max_actions):
            plan = expert.plan(simulation.observe(), Goal(image=goal.image))
            assert np.abs(plan.actions[0, :3]).max() <= 0.075
            assert np.abs(plan.actions[0, 6]) <= 1.0
            simulation.apply(plan.actions[0])
        assert simulation.objects.is_between_fingers(task.moved), seed
