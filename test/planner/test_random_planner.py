# SPDX-License-Identifier: Apache-2.0
"""The random baseline covers the whole box of actions and ignores the energies."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.planners import make_planner


def test_actions_cover_the_box_evenly() -> None:
    planner = make_planner('random', max_translation=0.05, max_gripper_delta=0.5, horizon=64)
    rng = np.random.default_rng(0)
    plans = [planner.plan(lambda a: np.zeros(len(a)), rng).actions for _ in range(50)]
    scaled = np.concatenate(plans)[:, [0, 1, 2, 6]] / [0.05, 0.05, 0.05, 0.5]
    assert np.abs(scaled).max() <= 1.0
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=0.05)
    np.testing.assert_allclose(scaled.std(axis=0), 1 / np.sqrt(3), atol=0.03)


@pytest.mark.parametrize('energy', [1.0, 2.0])
def test_energies_are_reported_but_do_not_change_the_actions(energy: float) -> None:
    planner = make_planner('random')
    result = planner.plan(lambda a: np.full(len(a), energy), np.random.default_rng(1))
    other = planner.plan(lambda a: np.full(len(a), 3.0), np.random.default_rng(1))
    np.testing.assert_array_equal(result.actions, other.actions)
    assert (result.energy, result.evaluations) == (energy, 1)
