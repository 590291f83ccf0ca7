# SPDX-License-Identifier: Apache-2.0
"""A fit of a quadratic goes where the energy is lowest nearby, and no farther than it can know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vjepa_planner.planners.response_surface import number_of_coefficients, step_to_minimum

START = np.array([0.01, -0.02, 0.03])
WIDTH = 0.01


def step(
    energy: Callable[[np.ndarray], np.ndarray], seed: int = 0, limit: float = 0.075
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return step_to_minimum(energy, START, WIDTH, 48, limit, rng)


@pytest.mark.parametrize('off', [(0.0, 0.0, 0.0), (0.012, -0.004, 0.007), (-0.015, 0.015, 0.0)])
def test_the_minimum_of_a_tilted_quadratic_is_found_in_one_step(off: tuple[float, ...]) -> None:
    minimum = START + off
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    hessian = rotation @ np.diag([1.0, 3.0, 8.0]) @ rotation.T

    def energy(points: np.ndarray) -> np.ndarray:
        return 0.2 + np.einsum('ni,ij,nj->n', points - minimum, hessian, points - minimum)

    np.testing.assert_allclose(step(energy), minimum, atol=1e-9)


def test_down_a_slope_it_goes_two_widths_at_most_and_stays_within_the_limit() -> None:
    def slope(points: np.ndarray) -> np.ndarray:
        return points @ [-3.0, 1.0, 0.0]

    found = step(slope)
    assert np.abs(found - START).max() == pytest.approx(2 * WIDTH)
    assert found[0] > START[0] > -0.075
    assert found[1] < START[1]
    assert step(slope, limit=0.03)[2] == pytest.approx(0.03)
    assert step(slope, limit=0.015)[0] <= 0.015


def test_from_a_ridge_it_does_not_go_up() -> None:
    def saddle(points: np.ndarray) -> np.ndarray:
        off = points - START
        return off[:, 0] ** 2 + off[:, 1] ** 2 - 0.5 * off[:, 2] ** 2 - 0.01 * off[:, 2]

    found = step(saddle)
    assert found[2] > START[2] + 0.5 * WIDTH
    np.testing.assert_allclose(found[:2], START[:2], atol=1e-9)


def test_points_that_are_not_finite_do_not_count() -> None:
    def energy(points: np.ndarray) -> np.ndarray:
        energies = ((points - START - [0.005, 0.0, 0.0]) ** 2).sum(axis=1)
        energies[::3] = [np.nan, np.inf, -np.inf, np.nan] * 4
        return energies

    np.testing.assert_allclose(step(energy), np.add(START, [0.005, 0.0, 0.0]), atol=1e-9)


@pytest.mark.parametrize('finite', [0, 9])
def test_with_too_few_energies_or_none_that_differ_it_stays(finite: int) -> None:
    assert number_of_coefficients(3) == 10

    def energy(points: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(points)) < finite, 1.0 + points[:, 0], np.nan)

    np.testing.assert_array_equal(step(energy), START)
    np.testing.assert_allclose(step(lambda points: np.ones(len(points))), START, atol=2 * WIDTH)


def test_without_free_axes_there_is_nowhere_to_go() -> None:
    found = step_to_minimum(
        lambda points: np.zeros(len(points)),
        np.zeros(0),
        WIDTH,
        48,
        0.1,
        np.random.default_rng(0),
    )
    assert found.shape == (0,)
