# SPDX-License-Identifier: Apache-2.0
"""Draws the log of a run as ``curves.png``. Needs matplotlib; without it there is no picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
import logging
from pathlib import Path
import time
from typing import NamedTuple, TYPE_CHECKING

from vjepa_planner.training.run import LogLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN = 20.0


class Panel(NamedTuple):
    """One diagram.

    Attributes:
        title: With the unit.
        curves: Legend by name in the log; those that are not in it are left out.
        dashed: Names of baselines.
        logarithmic: Whether the vertical axis is.
    """

    title: str
    curves: dict[str, str]
    dashed: tuple[str, ...] = ()
    logarithmic: bool = False


PANELS = (
    Panel(
        'prediction (mean absolute difference)',
        {
            'prediction': 'prediction',
            'one_step': 'one step',
            'two_steps': 'two steps',
            'position_only': 'position alone',
            'copy': 'copy',
        },
        dashed=('position_only', 'copy'),
    ),
    Panel(
        'prediction, held-out episodes',
        {
            'validation_one_step': 'one step',
            'validation_two_steps': 'two steps',
            'validation_shuffled': 'actions of other windows',
            'validation_copy': 'copy',
        },
        dashed=('validation_copy', 'validation_shuffled'),
    ),
    Panel('other terms', {'inverse_dynamics': 'inverse dynamics', 'variance': 'variance'}),
    Panel(
        'standard deviation of tokens',
        {'token_std': 'over samples', 'temporal_std': 'over time, within an episode'},
    ),
    Panel(
        'probe of positions, held-out episodes [m]',
        {
            'probe_position': 'end effector',
            'probe_position_mean': 'its mean',
            'probe_object': 'objects',
            'probe_object_mean': 'their mean',
        },
        dashed=('probe_position_mean', 'probe_object_mean'),
    ),
    Panel(
        'probe of the gripper, held-out episodes',
        {'probe_closedness': 'closedness', 'probe_closedness_mean': 'its mean'},
        dashed=('probe_closedness_mean',),
    ),
    Panel('learning rate', {'learning_rate': 'learning rate'}),
    Panel('norm of the gradient', {'gradient_norm': 'before clipping'}, logarithmic=True),
)


def update_curves(log: Sequence[LogLine], path: Path, last: bool) -> None:
    """Draw the curves, if those on disk are not quite new.

    Args:
        log: Lines of the log.
        path: A ``.png`` file.
        last: Whether to draw in any case.
    """
    if find_spec('matplotlib') is None:
        if last:
            _log.warning('no %s: the package matplotlib is not installed', path.name)
        return
    age = time.time() - path.stat().st_mtime if path.exists() else _SECONDS_BETWEEN
    if last or age >= _SECONDS_BETWEEN:
        draw_curves(log, path)


def draw_curves(log: Sequence[LogLine], path: Path) -> None:
    """Write a picture with the panels of which the log has something; red lines are warnings."""
    from matplotlib.figure import Figure

    known = {name for line in log for name in line}
    panels = [panel for panel in PANELS if known & set(panel.curves)]
    rows = max(1, -(-len(panels) // 2))
    figure = Figure(figsize=(12, 3.2 * rows), layout='constrained')
    for panel, axes in zip(panels, figure.subplots(rows, 2, squeeze=False).flat, strict=False):
        _draw(panel, axes, log)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    partial = path.with_suffix('.partial')
    figure.savefig(partial, format='png', dpi=90)
    partial.replace(path)


def _draw(panel: Panel, axes: Axes, log: Sequence[LogLine]) -> None:
    for name, label in panel.curves.items():
        points = [(line['step'], line[name]) for line in log if name in line]
        if points:
            style = '--' if name in panel.dashed else '-'
            axes.plot(*zip(*points, strict=True), style, marker='.', markersize=3, label=label)
    for line in log:
        if 'warning' in line:
            axes.axvline(line['step'], color='red', linewidth=0.8, alpha=0.6)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel('step')
    if panel.logarithmic:
        axes.set_yscale('log')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
