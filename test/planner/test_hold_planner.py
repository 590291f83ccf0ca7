# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from vjepa_planner.planners import make_planner


def energy_of(actions: np.ndarray) -> np.ndarray:
    energies: np.ndarray = 2.0 + np.abs(actions).sum(axis=(1, 2))
    return energies


def test_holding_is_no_motion_at_the_energy_of_no_motion() -> None:
    result = make_planner('hold', horizon=3).plan(energy_of, np.random.default_rng(0))
    np.testing.assert_array_equal(result.actions, np.zeros((3, 7)))
    assert result.energy == 2.0
    assert result.evaluations == 1
    assert result.iteration_energies == (2.0,)


def test_an_axis_that_is_fixed_stays_fixed() -> None:
    planner = make_planner('hold', horizon=2, fixed_axes={'gripper': 0.5})
    actions = planner.plan(energy_of, np.random.default_rng(0)).actions
    np.testing.assert_array_equal(actions[:, 6], 0.5)
    np.testing.assert_array_equal(actions[:, :6], 0.0)
