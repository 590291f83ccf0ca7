# SPDX-License-Identifier: Apache-2.0
"""The plot of energy and distance over the actions of all episodes. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vjepa_planner.errors import requires_extra
from vjepa_planner.evaluation.report import EvaluationReport

_COLORS = {True: 'tab:green', False: 'tab:red'}


def plot_energies(path: Path, report: EvaluationReport) -> None:
    """Write a PNG: a line per episode, green if it succeeded, red if not, and their medians.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with requires_extra('plotting', 'demo'):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout='constrained')
    FigureCanvasAgg(figure)
    energy_axes, distance_axes = figure.subplots(2, sharex=True)
    for success, color in _COLORS.items():
        results = [result for result in report.results if result.success is success]
        name = f'{"success" if success else "failure"} ({len(results)})'
        for axes, curves in (
            (energy_axes, [result.energies for result in results]),
            (distance_axes, [np.array(result.distances) * 100 for result in results]),
        ):
            for curve in curves:
                axes.plot(curve, color=color, lw=0.7, alpha=0.3)
            if curves:
                axes.plot(np.median(curves, axis=0), color=color, lw=2.5, label=name)
    switches = np.flatnonzero(np.diff(report.results[0].sub_goals)) + 1
    for axes in (energy_axes, distance_axes):
        for switch in switches:
            axes.axvline(switch, color='black', lw=0.8, ls=':')
        axes.set_ylim(bottom=0)
    energy_axes.set_title(f'{report.task}, {report.model}, {report.planner}')
    energy_axes.set_ylabel('energy of the goal in force')
    distance_axes.set_ylabel('distance to the goal [cm]')
    distance_axes.set_xlabel('actions (dotted: the next goal image)')
    distance_axes.legend()
    figure.savefig(path, dpi=110)
