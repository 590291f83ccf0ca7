# SPDX-License-Identifier: Apache-2.0
"""The picture of an energy landscape."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('matplotlib')

from vjepa_planner.landscape import ActionGrid, EnergyLandscape
from vjepa_planner.landscape_plot import draw_landscape

# Axis that is averaged over -> axes of the panel.
PLANES = {
    2: ('dx [m]', 'dy [m]'),
    1: ('dx [m]', 'dz [m]'),
    0: ('dy [m]', 'dz [m]'),
}


def bowl(centre: list[float]) -> EnergyLandscape:
    grid = ActionGrid.cube()
    distances = np.linalg.norm(grid.actions[:, :3] - centre, axis=1)
    return EnergyLandscape(grid=grid, energies=distances.reshape(5, 5, 5).astype(np.float32))


def test_each_plane_is_averaged_over_the_third_axis() -> None:
    landscape = bowl([0.03, -0.06, 0.0])
    panels = draw_landscape(landscape).axes[:3]
    for panel, (axis, labels) in zip(panels, PLANES.items(), strict=True):
        assert (panel.get_xlabel(), panel.get_ylabel()) == labels
        (colours,) = panel.collections
        # matplotlib's rows go upwards
        np.testing.assert_allclose(
            colours.get_array(), landscape.energies.mean(axis=axis).T, rtol=1e-6
        )


def test_the_marks_lie_where_the_actions_point() -> None:
    true_action = np.array([0.09, 0.03, 0.08, 0, 0, 0, 0])
    panel = draw_landscape(bowl([0.0, 0.075, 0.0]), true_action).axes[1]
    places = {str(line.get_label()): line.get_xydata()[0] for line in panel.lines}
    assert set(places) == {'no motion', 'lowest energy', 'true action'}
    np.testing.assert_allclose(places['no motion'], [0, 0])
    np.testing.assert_allclose(places['lowest energy'], [0, 0], atol=1e-9)
    np.testing.assert_allclose(places['true action'], [0.09, 0.08])
    assert panel.get_xlim()[1] >= 0.09


def test_nothing_is_marked_true_where_the_true_action_is_unknown() -> None:
    panel = draw_landscape(bowl([0.0, 0.0, 0.0])).axes[0]
    assert 'true action' not in [line.get_label() for line in panel.lines]
