# SPDX-License-Identifier: Apache-2.0
"""The numbers of the demonstration, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path

from vjepa_ros.demo.config import DemoConfig
from vjepa_ros.demo.pursuit import Pursuit

_HEADINGS = (
    'goal',
    'set by',
    'actions',
    'energy',
    'distance [cm]',
    'reached',
    's/plan',
    's/action',
    'plans refused',
    'stale',
)


def make_table(pursuits: Sequence[Pursuit]) -> str:
    """Return one line per goal, below headings."""
    rows = [_HEADINGS, *(_row(pursuit) for pursuit in pursuits)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return '\n'.join([lines[0], '-' * max(map(len, lines)), *lines[1:]])


def _row(pursuit: Pursuit) -> tuple[str, ...]:
    first, last = pursuit.steps[0], pursuit.steps[-1]
    per_action = pursuit.seconds_per_action
    return (
        pursuit.goal_id,
        pursuit.given_as,
        str(pursuit.actions),
        f'{first.energy:.3f} -> {last.energy:.3f}',
        f'{first.distance * 100:.1f} -> {last.distance * 100:.1f}',
        'yes' if pursuit.outcome else 'no',
        f'{pursuit.seconds_per_plan:.2f}',
        '-' if per_action is None else f'{per_action:.2f}',
        str(pursuit.refused),
        str(pursuit.stale),
    )


def make_result(
    config: DemoConfig, pursuits: Sequence[Pursuit], seconds: dict[str, float]
) -> dict[str, object]:
    """Return all numbers as JSON-ready values.

    Args:
        config: What the user chose.
        pursuits: One per goal.
        seconds: How long the parts of the demonstration took [s].
    """
    return {
        'success': bool(pursuits) and all(pursuit.outcome for pursuit in pursuits),
        'seed': config.seed,
        'model': config.model,
        'max_actions': config.max_actions,
        'seconds': {name: round(value, 3) for name, value in seconds.items()},
        'goals': [_goal(pursuit) for pursuit in pursuits],
    }


def _goal(pursuit: Pursuit) -> dict[str, object]:
    first, last = pursuit.steps[0], pursuit.steps[-1]
    return {
        'goal_id': pursuit.goal_id,
        'given_as': pursuit.given_as,
        'reached': bool(pursuit.outcome),
        'actions': pursuit.actions,
        'position': pursuit.position.tolist(),
        'start_distance': first.distance,
        'final_distance': last.distance,
        'first_energy': first.energy,
        'last_energy': last.energy,
        'seconds_per_plan': pursuit.seconds_per_plan,
        'seconds_per_action': pursuit.seconds_per_action,
        'refused_plans': pursuit.refused,
        'stale_plans': pursuit.stale,
        'steps': [asdict(step) for step in pursuit.steps],
    }


def write_result(path: Path, result: dict[str, object]) -> None:
    """Write the result as JSON."""
    path.write_text(json.dumps(result, indent=1) + '\n')


def failure_line(pursuits: Sequence[Pursuit]) -> str:
    """Return one line about the goals that were not reached; empty if there are none."""
    missed = [pursuit for pursuit in pursuits if not pursuit.outcome]
    return '; '.join(
        f'goal {pursuit.number} was not reached: {pursuit.steps[-1].distance * 100:.1f} cm from '
        f'its pose after {pursuit.actions} actions'
        for pursuit in missed
    )
