# SPDX-License-Identifier: Apache-2.0
"""Draws an energy landscape. Needs matplotlib."""

from __future__ import annotations

from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
import numpy.typing as npt

from vjepa_planner.landscape import EnergyLandscape

_NAMES = ('dx', 'dy', 'dz')


def draw_landscape(
    landscape: EnergyLandscape,
    true_action: npt.NDArray[np.float64] | None = None,
    title: str = 'Energy landscape',
) -> Figure:
    """Return a picture of a landscape: the three planes, each averaged over the third axis.

    The official notebook draws one of them, dx and dz (summed over dy).

    Args:
        landscape: At least two points on each axis.
        true_action: Marked, where it is known, shape (7,).
        title: Stands above.
    """
    figure = Figure(figsize=(13, 4.7), layout='constrained')
    figure.suptitle(title)
    panels = figure.subplots(1, 3)
    planes = {
        axes: landscape.energies.mean(axis=3 - sum(axes)) for axes in combinations(range(3), 2)
    }
    low = min(float(plane.min()) for plane in planes.values())
    high = max(float(plane.max()) for plane in planes.values())
    for panel, (axes, plane) in zip(panels, planes.items(), strict=True):
        ticks = [landscape.grid.axes[axis] for axis in axes]
        colours = panel.pcolormesh(
            *ticks, plane.T, vmin=low, vmax=high, cmap='viridis', shading='nearest'
        )
        panel.set_xlabel(f'{_NAMES[axes[0]]} [m]')
        panel.set_ylabel(f'{_NAMES[axes[1]]} [m]')
        panel.set_title(f'mean over {_NAMES[3 - sum(axes)]}')
        panel.set_aspect('equal')
        _mark(panel, np.zeros(3), axes, marker='+', label='no motion')
        _mark(panel, landscape.lowest[0], axes, marker='o', label='lowest energy')
        if true_action is not None:
            _mark(panel, true_action, axes, marker='*', label='true action')
    figure.colorbar(colours, ax=panels, label='energy (mean absolute difference)')
    figure.legend(*panels[0].get_legend_handles_labels(), loc='outside lower center', ncols=3)
    return figure


def _mark(
    panel: Axes,
    action: npt.NDArray[np.float64],
    axes: tuple[int, ...],
    marker: str,
    label: str,
) -> None:
    """Mark an action; where it lies outside the grid, the panel grows."""
    panel.plot(
        *(action[axis] for axis in axes),
        marker=marker,
        markersize=13,
        markerfacecolor='none' if marker == 'o' else 'red',
        markeredgecolor='red',
        markeredgewidth=2 if marker == 'o' else 1,
        linestyle='none',
        clip_on=False,
        label=label,
    )
