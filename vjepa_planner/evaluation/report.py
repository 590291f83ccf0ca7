# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found, as numbers with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import math

import numpy as np

from vjepa_planner.errors import InvalidInputError

_Z_95 = 1.959964  # quantile of the standard normal for a two-sided 95 % interval


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """One episode.

    Attributes:
        seed: Of the episode.
        success: What the judge of the task says of the end.
        distances: Of what the task moves to where the goal shows it, before the first action and
            after each [m].
        energies: Energy of the present image before each action, for the sub-goal in force.
        seconds: Planning time of each action, from image to action [s].
        sub_goals: Index of the sub-goal in force at each action.
    """

    seed: int
    success: bool
    distances: tuple[float, ...]
    energies: tuple[float, ...]
    seconds: tuple[float, ...]
    sub_goals: tuple[int, ...]

    @property
    def final_distance(self) -> float:
        """Distance at the end [m]."""
        return self.distances[-1]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """All episodes of a task.

    Attributes:
        task: Name of the task.
        model: Name of the world model.
        planner: Name of the planner.
        results: One per episode.
    """

    task: str
    model: str
    planner: str
    results: Sequence[EpisodeResult]

    def __post_init__(self) -> None:
        """Check that there is something to report."""
        if not self.results:
            raise InvalidInputError('a report needs at least one episode.')

    @property
    def success_rate(self) -> float:
        """Share of successful episodes."""
        return sum(result.success for result in self.results) / len(self.results)

    @property
    def ci95(self) -> tuple[float, float]:
        """95 % interval of the success rate."""
        return wilson_interval(sum(result.success for result in self.results), len(self.results))

    @property
    def seconds_per_action(self) -> float:
        """Median planning time of one action, from image to action [s]."""
        return float(np.median([s for result in self.results for s in result.seconds]))

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON-ready values."""
        final = np.array([result.final_distance for result in self.results])
        return {
            'task': self.task,
            'model': self.model,
            'planner': self.planner,
            'episodes': len(self.results),
            'success_rate': self.success_rate,
            'ci95': list(self.ci95),
            'seconds_per_action': self.seconds_per_action,
            'final_distance_median': float(np.median(final)),
            'final_distance_p90': float(np.quantile(final, 0.9)),
            'results': [asdict(result) for result in self.results],
        }

    def __str__(self) -> str:
        """Return a table of one row with its heading."""
        widths = {name: max(len(name), len(value)) for name, value in self._row().items()}
        return '\n'.join(
            '  '.join(
                f'{cell:<{width}}' for cell, width in zip(line, widths.values(), strict=True)
            )
            for line in (self._row().keys(), self._row().values())
        )

    def to_markdown(self) -> str:
        """Return the same table as Markdown."""
        row = self._row()
        lines = (row.keys(), ('---' for _ in row), row.values())
        return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)

    def _row(self) -> dict[str, str]:
        low, high = self.ci95
        final = np.array([result.final_distance for result in self.results]) * 100
        return {
            'task': self.task,
            'model': self.model,
            'planner': self.planner,
            'episodes': str(len(self.results)),
            'success': f'{self.success_rate:.0%}',
            '95 % interval': f'{low:.0%} .. {high:.0%}',
            'final distance (median, p90)': (
                f'{np.median(final):.1f} cm, {np.quantile(final, 0.9):.1f} cm'
            ),
            's/action': f'{self.seconds_per_action:.2f}',
        }


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson, 1927)."""
    share, z2 = successes / trials, _Z_95**2
    center = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z_95 / (1 + z2 / trials)
    half *= math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, center - half), min(1.0, center + half)
