# SPDX-License-Identifier: Apache-2.0
"""What every registered planner has to do; a new one is tested by being registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError, UnknownNameError, VjepaPlannerError
from vjepa_planner.planners import (
    available_planners,
    CEMConfig,
    make_planner,
    make_recommended_planner,
    Planner,
    planner_config_class,
    PlannerConfig,
    PlanningError,
)

HORIZON = 3
TARGET = np.array([0.12, -0.09, 0.06, 0.5])  # [m, m, m, closedness], within three steps
SMALL = {'num_samples': 64, 'num_iterations': 8, 'num_elites': 8}
SEARCHING = tuple(name for name in available_planners() if name not in ('hold', 'random'))


def make_small(name: str, **settings: object) -> Planner:
    known = {item.name for item in fields(planner_config_class(name))}
    small = {key: value for key, value in SMALL.items() if key in known}
    return make_planner(name, **({'horizon': HORIZON} | small | settings))


def quadratic(actions: np.ndarray) -> np.ndarray:
    """Return the squared distance of every action to a third of the target, summed up."""
    searched = actions[..., [0, 1, 2, 6]]
    energies: np.ndarray = ((searched - TARGET / 3) ** 2).sum(axis=(1, 2))
    return energies


def point_mass(actions: np.ndarray) -> np.ndarray:
    """Return the distance to the target of a point that the actions move, after the last one."""
    position = actions[..., :3].sum(axis=1)
    closedness = np.clip(actions[..., 6].sum(axis=1), 0.0, 1.0)
    reached = np.concatenate([position, closedness[:, None]], axis=1)
    energies: np.ndarray = np.abs(reached - TARGET).mean(axis=1)
    return energies


@pytest.mark.parametrize('name', available_planners())
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_actions_stay_inside_the_limits_and_do_not_rotate(name: str, seed: int) -> None:
    planner = make_small(name, max_translation=0.02, max_gripper_delta=0.3)
    actions = planner.plan(point_mass, np.random.default_rng(seed)).actions
    assert actions.shape == (HORIZON, 7)
    assert np.abs(actions[:, :3]).max() <= 0.02
    assert np.abs(actions[:, 6]).max() <= 0.3
    np.testing.assert_array_equal(actions[:, 3:6], 0.0)


@pytest.mark.parametrize('name', available_planners())
def test_fixed_axes_are_fixed_in_every_candidate_and_in_the_result(name: str) -> None:
    seen = []

    def evaluate(actions: np.ndarray) -> np.ndarray:
        seen.append(actions)
        return point_mass(actions)

    planner = make_small(name, fixed_axes={'z': -0.01, 'gripper': 0.4})
    actions = planner.plan(evaluate, np.random.default_rng(0)).actions
    for candidates in (actions, *seen):
        np.testing.assert_allclose(candidates[..., 2], -0.01, atol=1e-15)
        np.testing.assert_allclose(candidates[..., 6], 0.4, atol=1e-15)


@pytest.mark.parametrize('name', available_planners())
def test_energy_is_the_energy_of_the_returned_actions(name: str) -> None:
    result = make_small(name).plan(quadratic, np.random.default_rng(3))
    assert result.energy == quadratic(result.actions[None])[0]
    assert len(result.iteration_energies) >= 1


@pytest.mark.parametrize('name', available_planners())
def test_evaluations_are_the_sequences_asked_for(name: str) -> None:
    asked = []

    def evaluate(actions: np.ndarray) -> np.ndarray:
        asked.append(len(actions))
        assert actions.shape == (len(actions), HORIZON, 7)
        assert actions.dtype == np.float64
        return quadratic(actions)

    assert make_small(name).plan(evaluate, np.random.default_rng(0)).evaluations == sum(asked)


@pytest.mark.parametrize('name', available_planners())
def test_the_same_seed_gives_the_same_plan_and_another_one_another(name: str) -> None:
    planner = make_small(name)
    plans = [planner.plan(point_mass, np.random.default_rng(s)).actions for s in (7, 7, 8)]
    np.testing.assert_array_equal(plans[0], plans[1])
    assert np.array_equal(plans[0], plans[2]) == (name == 'hold')  # the one without chance


@pytest.mark.parametrize('name', SEARCHING)
@pytest.mark.parametrize(
    ('evaluate', 'threshold'), [(quadratic, 0.02), (point_mass, 0.1)], ids=['quadratic', 'mass']
)
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_search_gets_much_closer_than_standing_still(
    name: str, evaluate: Callable[[np.ndarray], np.ndarray], threshold: float, seed: int
) -> None:
    settings = {'gripper_deadband': 0.0}
    result = make_small(name, **settings).plan(evaluate, np.random.default_rng(seed))
    standing_still = evaluate(np.zeros((1, HORIZON, 7)))[0]
    assert result.energy < threshold * standing_still


@pytest.mark.parametrize('name', available_planners())
def test_energies_that_are_all_nan_are_a_planning_error(name: str) -> None:
    with pytest.raises(PlanningError, match='finite'):
        make_small(name).plan(lambda a: np.full(len(a), np.nan), np.random.default_rng(0))


@pytest.mark.parametrize('name', available_planners())
def test_energies_of_the_wrong_shape_are_a_planning_error_with_both_shapes(name: str) -> None:
    with pytest.raises(PlanningError, match=r'shape \(\d+,\), got \(\d+, 1\)'):
        make_small(name).plan(lambda a: np.ones((len(a), 1)), np.random.default_rng(0))


@pytest.mark.parametrize('name', available_planners())
def test_every_setting_is_described(name: str) -> None:
    for item in fields(planner_config_class(name)):
        assert item.metadata['description'], item.name
        if 'min' in item.metadata and 'max' in item.metadata:
            assert item.metadata['min'] < item.metadata['max'], item.name


def test_a_planning_error_is_one_of_ours() -> None:
    assert issubclass(PlanningError, VjepaPlannerError)


def test_unknown_planners_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown planner 'cme'. Did you mean 'cem'"):
        make_planner('cme')


def test_unknown_settings_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"'num_sample'. Did you mean 'num_samples'"):
        make_planner('cem', num_sample=3)


def test_a_setting_out_of_range_says_the_range() -> None:
    with pytest.raises(InvalidInputError, match=r'between 0.0 and 1.0, got 7.5'):
        make_planner('random', max_translation=7.5)


def test_recommended_settings_are_used_and_can_be_overridden() -> None:
    recommended = {'name': 'cem', 'horizon': 2, 'num_samples': 32, 'max_translation': 0.05}
    planner = make_recommended_planner(recommended, num_samples=48)
    assert planner.config == CEMConfig(horizon=2, max_translation=0.05, num_samples=48)


def test_another_planner_than_the_recommended_one_keeps_horizon_and_limits() -> None:
    recommended = {'name': 'cem', 'horizon': 2, 'num_samples': 32, 'max_translation': 0.05}
    planner = make_recommended_planner(recommended, 'random')
    assert planner.config == PlannerConfig(horizon=2, max_translation=0.05)


def test_a_wrong_recommended_setting_is_not_swallowed() -> None:
    with pytest.raises(UnknownNameError, match='num_sample'):
        make_recommended_planner({'name': 'cem', 'num_sample': 32})
