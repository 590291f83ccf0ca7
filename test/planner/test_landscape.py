# SPDX-License-Identifier: Apache-2.0
"""The energy landscape."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.landscape import ActionGrid, EnergyLandscape, measure_landscape


def test_the_grid_of_the_official_notebook_is_in_its_order(official):
    np.testing.assert_allclose(
        ActionGrid.cube().actions, official.arrays['grid_actions'].reshape(-1, 7), atol=1e-8
    )


def test_the_energies_of_the_official_notebook_are_reproduced(official):
    pytest.importorskip('torch')
    from vjepa_planner.world_model import load_world_model

    arrays = official.arrays
    done = []
    landscape = measure_landscape(
        load_world_model(official.ac_checkpoint, device='cpu'),
        arrays['rollout_context'][0],
        arrays['rollout_pose0'][0, 0],
        arrays['goal'][0],
        ActionGrid.cube(),
        done.append,
    )
    expected = arrays['grid_energy_l1']
    np.testing.assert_allclose(landscape.energies.reshape(-1), expected, atol=1e-5)
    assert landscape.energies.shape == (5, 5, 5)
    assert sum(done) == 125
    assert len(done) > 10
    action, energy = landscape.lowest
    np.testing.assert_array_equal(action, ActionGrid.cube().actions[expected.argmin()])
    assert energy == pytest.approx(expected.min(), abs=1e-5)


def test_the_axes_may_differ():
    grid = ActionGrid(dx=np.array([0.0]), dy=np.array([-0.1, 0.1]), dz=np.array([0.1, 0.2, 0.3]))
    assert grid.actions.shape == (6, 7)
    np.testing.assert_allclose(grid.actions[4, :3], [0.0, 0.1, 0.2])
    assert not grid.actions[:, 3:].any()


def test_lowest_table_and_rank_belong_together():
    energies = np.array([[[0.5], [0.2]], [[0.3], [0.4]]], dtype=np.float32)
    axis = np.array([-0.1, 0.1])
    landscape = EnergyLandscape(
        grid=ActionGrid(dx=axis, dy=axis, dz=np.array([0.0])), energies=energies
    )
    action, energy = landscape.lowest
    np.testing.assert_allclose(action, [-0.1, 0.1, 0, 0, 0, 0, 0])
    assert energy == pytest.approx(0.2)
    assert landscape.table.shape == (4, 8)
    np.testing.assert_allclose(landscape.table[2, [0, 1, 7]], [0.1, -0.1, 0.3])
    assert [landscape.rank(value) for value in (0.1, 0.25, 0.9)] == [1, 2, 5]


@pytest.mark.parametrize(
    ('points', 'reach'), [(1, 0.075), (101, 0.075), (5, 0.0), (5, -0.1), (5, np.nan), (5, np.inf)]
)
def test_a_grid_without_extent_is_refused(points, reach):
    with pytest.raises(InvalidInputError):
        ActionGrid.cube(points, reach)


@pytest.mark.parametrize('axis', [[], [0.1, 0.0], [0.0, np.nan], [[0.0]]])
def test_axes_that_do_not_ascend_are_refused(axis):
    right = np.array([0.0, 0.1])
    with pytest.raises(InvalidInputError, match='dy must'):
        ActionGrid(dx=right, dy=np.array(axis), dz=right)
