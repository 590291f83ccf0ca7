# SPDX-License-Identifier: Apache-2.0
"""The plot of energy and distance over the actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vjepa_planner.evaluation.criteria import SUCCESS_DISTANCE
from vjepa_ros.demo.pursuit import Pursuit

_ENERGY = 'tab:blue'
_DISTANCE = 'tab:orange'
_MARGIN = 1.15  # of the axes above the largest value


def plot_energy(path: Path, pursuits: Sequence[Pursuit]) -> None:
    """Write a PNG of energy and distance at every rest of the arm; goals follow one another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    energy_axes = figure.subplots()
    distance_axes = energy_axes.twinx()
    offset = 0
    for pursuit in pursuits:
        actions = [offset + step.actions for step in pursuit.steps]
        energy_axes.plot(actions, [s.energy for s in pursuit.steps], 'o-', color=_ENERGY)
        distance_axes.plot(
            actions, [s.distance * 100 for s in pursuit.steps], 's--', color=_DISTANCE
        )
        if pursuit is not pursuits[0]:
            energy_axes.axvline(offset - 0.5, color='black', lw=1)
        reached = 'reached' if pursuit.outcome else 'not reached'
        energy_axes.annotate(
            f'goal {pursuit.number} ({pursuit.given_as}): {reached}',
            (actions[0], 0.98), xycoords=('data', 'axes fraction'), va='top',
        )  # fmt: skip
        offset = actions[-1] + 1
    distance_axes.axhline(SUCCESS_DISTANCE * 100, color=_DISTANCE, lw=0.8, ls=':')
    energy_axes.set_xlabel('actions (the line marks the swap of the goal)')
    energy_axes.set_ylabel('energy (mean absolute difference to the goal)', color=_ENERGY)
    distance_axes.set_ylabel('distance to the goal pose [cm]', color=_DISTANCE)
    steps = [step for pursuit in pursuits for step in pursuit.steps]
    energy_axes.set_ylim(0, _MARGIN * max(step.energy for step in steps))
    distance_axes.set_ylim(0, _MARGIN * 100 * max(step.distance for step in steps))
    energy_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=120)
