# SPDX-License-Identifier: Apache-2.0
"""How much of the world a dataset shows: lengths of steps, places, and what the gripper does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vjepa_planner.data.readers.lerobot import LeRobotSource
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import state_difference

CELL = 0.05
"""Side of the cubes in which places are counted [m]."""

_PERCENTILES = (5, 25, 50, 75, 95, 100)
_CLOSED, _OPEN = 0.6, 0.4  # closedness: above is closed, below is open, between is neither


@dataclass(frozen=True)
class Coverage:
    """What the episodes of a dataset show.

    Attributes:
        episodes: How many there are.
        steps: How many steps from one frame to the next they have.
        step_duration: How long each lasts [s].
        step_length: Percentiles of the distance that a step moves [m], by percentage.
        step_angle: Percentiles of the angle that a step turns [rad].
        still: Fraction of the steps that move less than a millimetre and leave the gripper.
        box_min: Smallest x y z [m].
        box_max: Largest x y z [m].
        cells: Cubes of 5 cm that were visited.
        cells_in_box: Cubes of 5 cm that the box has.
        closings: How often the gripper closed.
        openings: How often it opened.
        episodes_with_gripper: Episodes in which it did either.
        closed: Fraction of the frames in which it is closed.
    """

    episodes: int
    steps: int
    step_duration: float
    step_length: dict[str, float]
    step_angle: dict[str, float]
    still: float
    box_min: list[float]
    box_max: list[float]
    cells: int
    cells_in_box: int
    closings: int
    openings: int
    episodes_with_gripper: int
    closed: float

    def table(self) -> list[str]:
        """Return the lines that a person reads."""
        box = ', '.join(
            f'{name} {low:.3f} to {high:.3f}'
            for name, low, high in zip('xyz', self.box_min, self.box_max, strict=True)
        )
        return [
            f'episodes        {self.episodes}, {self.steps} steps of {self.step_duration:.4g} s',
            f'step length     {_in_words(self.step_length, 1000, "mm")}',
            f'step angle      {_in_words(self.step_angle, 180 / np.pi, "deg")}',
            f'still           {self.still:.0%} of the steps',
            f'workspace       {box} m',
            f'                {self.cells} of {self.cells_in_box} cubes of 5 cm visited',
            f'gripper         {self.closings} closings, {self.openings} openings in '
            f'{self.episodes_with_gripper} episodes, closed {self.closed:.0%} of the time',
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def read_states(source: LeRobotSource) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the states of each episode, shape (frames, 7), without its images."""
    for index in range(len(source)):
        yield source.states(index)


def measure_coverage(episodes: list[npt.NDArray[np.float32]], step_duration: float) -> Coverage:
    """Return what episodes show.

    Args:
        episodes: States of each, shape (frames, 7).
        step_duration: Time from one frame to the next [s].

    Raises:
        InvalidInputError: There is not one step.
    """
    moving = [states for states in episodes if len(states) > 1]
    if not moving:
        raise InvalidInputError('there is no episode with at least two frames.')
    actions = np.concatenate([state_difference(s[:-1], s[1:]) for s in moving])
    states = np.concatenate(episodes).astype(np.float64)
    lengths = np.linalg.norm(actions[:, :3], axis=1)
    cells = np.floor(states[:, :3] / CELL).astype(int)
    events = [_gripper_events(s[:, 6]) for s in episodes]
    return Coverage(
        episodes=len(episodes),
        steps=len(actions),
        step_duration=step_duration,
        step_length=_percentiles(lengths),
        step_angle=_percentiles(np.linalg.norm(actions[:, 3:6], axis=1)),
        still=float(np.mean((lengths < 0.001) & (np.abs(actions[:, 6]) < 0.01))),
        box_min=states[:, :3].min(axis=0).tolist(),
        box_max=states[:, :3].max(axis=0).tolist(),
        cells=len(np.unique(cells, axis=0)),
        cells_in_box=int(np.prod(np.ptp(cells, axis=0) + 1)),
        closings=sum(closings for closings, _ in events),
        openings=sum(openings for _, openings in events),
        episodes_with_gripper=sum(sum(counts) > 0 for counts in events),
        closed=float(np.mean(states[:, 6] > _CLOSED)),
    )


def _gripper_events(closedness: npt.NDArray[np.float32]) -> tuple[int, int]:
    """Return how often the gripper closed and opened; half-way positions change nothing."""
    sure = closedness[(closedness > _CLOSED) | (closedness < _OPEN)] > _CLOSED
    changes = np.diff(sure.astype(int))
    return int((changes > 0).sum()), int((changes < 0).sum())


def _percentiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {str(p): float(np.percentile(values, p)) for p in _PERCENTILES}


def _in_words(percentiles: dict[str, float], scale: float, unit: str) -> str:
    parts = [f'{value * scale:.1f} ({name} %)' for name, value in percentiles.items()]
    return f'{", ".join(parts)} {unit}'
