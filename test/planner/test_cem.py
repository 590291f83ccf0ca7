# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy method: its numbers against the released planner's, and its corner cases."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.planners import CEMConfig, CrossEntropyMethod, PlanningError, Proposal

OFFICIAL = Path(__file__).parents[1] / 'fixtures' / 'cem' / 'official_cem.npz'
CASES = (
    'one_step',
    'two_steps',
    'three_steps',
    'closing_from_the_start',
    'closing_from_step_one',
    'held_height',
    'held_gripper_and_y',
)


def make_cem(**settings: object) -> CrossEntropyMethod:
    small = {'num_samples': 8, 'num_iterations': 2, 'num_elites': 3}
    return CrossEntropyMethod(CEMConfig(**(small | settings)))  # type: ignore[arg-type]


def distance_to(target: list[float]) -> Callable[[np.ndarray], np.ndarray]:
    """Return an energy: how far the summed action is from ``target`` (dx, dy, dz, dgripper)."""

    def evaluate(actions: np.ndarray) -> np.ndarray:
        total = actions.sum(axis=1)[:, [0, 1, 2, 6]]
        energies: np.ndarray = np.abs(total - target).mean(axis=-1)
        return energies

    return evaluate


@pytest.mark.parametrize('case', CASES)
def test_actions_are_those_of_the_released_planner_after_every_iteration(case: str) -> None:
    with np.load(OFFICIAL) as arrays:
        names = ('settings', 'start', 'gain', 'goal', 'noise', 'actions')
        settings, start, gain, goal, noise, actions = (arrays[f'{case}/{n}'] for n in names)
    cem = CrossEntropyMethod(CEMConfig(**json.loads(str(settings))))

    def evaluate(candidates: np.ndarray) -> np.ndarray:
        embeddings = np.tile(start, (len(candidates), 1))
        for step in range(candidates.shape[1]):
            embeddings = 0.9 * embeddings + np.tanh(candidates[:, step] @ gain)
        energies: np.ndarray = np.abs(embeddings - goal).mean(axis=-1)
        return energies

    for num_iterations, expected in enumerate(actions, start=1):
        result = cem.plan_with_noise(evaluate, noise[:num_iterations])
        np.testing.assert_allclose(result.actions, expected, rtol=0, atol=1e-6)
        assert result.energy == evaluate(result.actions[None])[0]


def test_every_case_of_the_fixture_is_tested() -> None:
    with np.load(OFFICIAL) as arrays:
        assert {name.split('/')[0] for name in arrays} == set(CASES)


def test_first_proposal_is_no_motion_as_wide_as_the_limits() -> None:
    proposal = make_cem(horizon=2, max_translation=0.06).initial_proposal()
    np.testing.assert_array_equal(proposal.mean, np.zeros((2, 4)))
    np.testing.assert_array_equal(proposal.std, [[0.06, 0.06, 0.06, 1.0]] * 2)


def test_samples_are_clipped_to_the_limits_per_axis() -> None:
    cem = make_cem(max_translation=0.05, max_gripper_delta=0.5)
    candidates = cem.sample(cem.initial_proposal(), np.full((8, 1, 4), 100.0))
    np.testing.assert_array_equal(candidates, np.tile([0.05, 0.05, 0.05, 0.5], (8, 1, 1)))


def test_a_forced_closing_is_not_clipped_and_leaves_earlier_steps_alone() -> None:
    cem = make_cem(horizon=2, close_gripper_from=1)
    candidates = cem.sample(cem.initial_proposal(), np.zeros((8, 2, 4)))
    np.testing.assert_array_equal(candidates[..., 3], [[0.0, 1.0]] * 8)


def test_momentum_one_keeps_the_proposal_and_momentum_zero_forgets_it() -> None:
    old = Proposal(np.full((1, 4), 0.5), np.full((1, 4), 0.25))
    elites = np.array([[[0.0] * 4], [[2.0] * 4]])
    kept = make_cem(momentum_mean=1.0, momentum_std_gripper=1.0, momentum_mean_gripper=0.0)
    new = kept.refit(old, elites)
    np.testing.assert_allclose(new.mean, [[0.5, 0.5, 0.5, 1.0]])
    unbiased = 0.85 * np.sqrt(2) + 0.15 * 0.25
    np.testing.assert_allclose(new.std, [[unbiased, unbiased, unbiased, 0.25]])


def test_gripper_changes_inside_the_dead_band_become_zero() -> None:
    mean = np.zeros((4, 4))
    mean[:, 3] = [0.249, 0.25, -0.249, -0.25]
    actions = make_cem(horizon=4).actions_from_proposal(Proposal(mean, mean))
    np.testing.assert_array_equal(actions[:, 6], [0.0, 0.25, 0.0, -0.25])
    assert mean[0, 3] == 0.249, 'the proposal itself must stay as it is'


def test_the_optimum_of_a_quadratic_is_found() -> None:
    target = [0.03, -0.05, 0.01, 0.6]
    cem = make_cem(num_samples=200, num_iterations=12, num_elites=10)
    result = cem.plan(distance_to(target), np.random.default_rng(0))
    np.testing.assert_allclose(result.actions[0, [0, 1, 2, 6]], target, atol=2e-3)
    assert result.iteration_energies[-1] < 0.1 * result.iteration_energies[0]


def narrow_valley(actions: np.ndarray) -> np.ndarray:
    """Return energies with their minimum at (2, 3, -4) cm, twenty times steeper across a line."""
    off = actions[:, 0, :3] - [0.02, 0.03, -0.04]
    along = off @ [1.0, 1.0, 1.0] / np.sqrt(3.0)
    across = np.linalg.norm(off - along[:, None] / np.sqrt(3.0), axis=1)
    return 2.0 * along**2 + 40.0 * across**2


def test_fits_come_to_the_end_of_a_narrow_valley_where_elites_do_not() -> None:
    settings = {'num_iterations': 3, 'num_elites': 6, 'momentum_mean': 0.0, 'momentum_std': 0.0}
    plain = make_cem(num_samples=96, **settings)
    fitted = make_cem(num_samples=48, num_fits=3, **settings)
    errors = {plain: [], fitted: []}
    for seed in range(20):
        for cem, found in errors.items():
            result = cem.plan(narrow_valley, np.random.default_rng(seed))
            found.append(np.linalg.norm(result.actions[0, :3] - [0.02, 0.03, -0.04]))
            assert result.evaluations <= 2 * 3 * 48 + 2
    assert np.mean(errors[fitted]) < 0.5 * np.mean(errors[plain])


def test_fits_leave_held_axes_gripper_and_later_steps_and_limits_alone() -> None:
    settings = {'horizon': 2, 'num_samples': 48, 'num_elites': 6, 'fixed_axes': {'y': 0.01}}
    towards = distance_to([0.5, 0.02, -0.03, 0.6])
    plain = make_cem(**settings).plan(towards, np.random.default_rng(0))
    fitted = make_cem(num_fits=4, **settings).plan(towards, np.random.default_rng(0))
    assert fitted.energy < plain.energy
    assert fitted.energy == pytest.approx(float(towards(fitted.actions[None])[0]))
    np.testing.assert_array_equal(fitted.actions[1], plain.actions[1])
    np.testing.assert_array_equal(fitted.actions[0, 3:], plain.actions[0, 3:])
    assert fitted.actions[0, 1] == 0.01
    assert fitted.actions[0, 0] <= 0.075


def test_fits_that_find_nothing_better_or_nothing_finite_change_nothing() -> None:
    def flat(actions: np.ndarray) -> np.ndarray:
        return np.zeros(len(actions))

    settings = {'num_samples': 24, 'num_elites': 6}
    plain = make_cem(**settings).plan(flat, np.random.default_rng(0))
    fitted = make_cem(num_fits=2, **settings).plan(flat, np.random.default_rng(0))
    np.testing.assert_array_equal(fitted.actions, plain.actions)

    calls = []

    def soon_nan(actions: np.ndarray) -> np.ndarray:
        calls.append(len(actions))
        fits = len(actions) > 1 and len(calls) > 3
        return np.full(len(actions), np.nan) if fits else flat(actions)

    fitted = make_cem(num_fits=2, **settings).plan(soon_nan, np.random.default_rng(0))
    np.testing.assert_array_equal(fitted.actions, plain.actions)


def test_fits_with_fewer_samples_than_a_quadratic_needs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match='num_samples must be at least 20'):
        make_cem(num_samples=19, num_elites=6, num_fits=1)


def test_evaluations_count_the_candidates_and_the_result() -> None:
    asked = []
    towards = distance_to([0.0] * 4)

    def evaluate(actions: np.ndarray) -> np.ndarray:
        asked.append(len(actions))
        return towards(actions)

    result = make_cem().plan(evaluate, np.random.default_rng(0))
    assert result.evaluations == sum(asked) == 2 * 8 + 1


def test_candidates_with_non_finite_energy_never_become_elites() -> None:
    cem = make_cem(num_elites=4)
    energies = np.array([np.inf, 3.0, np.inf, 1.0, np.inf, 2.0, np.inf, np.inf])
    assert cem.elite_indices(energies).tolist() == [3, 5, 1]


def test_some_non_finite_energies_are_survived() -> None:
    towards = distance_to([0.04, 0.0, 0.0, 0.0])

    def evaluate(actions: np.ndarray) -> np.ndarray:
        energies = towards(actions)
        energies[1::3] = [np.nan, np.inf, -np.inf][len(actions) % 3]
        return energies

    cem = make_cem(num_samples=100, num_iterations=8, num_elites=8)
    result = cem.plan(evaluate, np.random.default_rng(0))
    assert result.actions[0, 0] == pytest.approx(0.04, abs=5e-3)
    assert np.isfinite(result.iteration_energies).all()


def test_too_few_finite_energies_are_an_error_with_their_number() -> None:
    with pytest.raises(PlanningError, match='0 of 8 candidates have a finite energy'):
        make_cem().plan(lambda actions: np.full(len(actions), np.nan), np.random.default_rng(0))


def test_noise_of_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(InvalidInputError, match=r'\(8, 1, 4\), got \(1, 8, 4\)'):
        make_cem().plan_with_noise(distance_to([0.0] * 4), [np.zeros((1, 8, 4))])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_elites': 9}, 'num_elites must not exceed num_samples = 8, got 9'),
        ({'num_elites': 1}, 'num_elites must be between 2 and 100000, got 1'),
        ({'horizon': 0}, 'horizon must be between 1 and 64, got 0'),
        ({'horizon': 1.5}, 'horizon must be a whole number, got 1.5'),
        ({'horizon': None}, 'horizon must be a finite number, got None'),
        ({'num_samples': True}, 'num_samples must be a finite number, got True'),
        ({'max_translation': 75}, r'max_translation must be between 0.0 and 1.0, got 75.0'),
        ({'max_translation': float('nan')}, 'max_translation must be a finite number, got nan'),
        ({'momentum_std': 1.01}, 'momentum_std must be between 0.0 and 1.0, got 1.01'),
        ({'close_gripper_from': -1}, 'close_gripper_from must be between 0 and inf, got -1'),
        ({'fixed_axes': {'z': 'low'}}, r"fixed_axes\['z'\] must be a finite number, got 'low'"),
        ({'fixed_axes': ['z']}, r"fixed_axes must map axis names to values.*got \['z'\]"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_cem(**settings)


def test_an_unknown_fixed_axis_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'griper'.*Did you mean 'gripper'"):
        make_cem(fixed_axes={'griper': 0.0})
