# SPDX-License-Identifier: Apache-2.0
"""The energy landscape: where each displacement of a grid would lead, compared with the goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import ACTION_DIM, FloatArray
from vjepa_planner.world_model import WorldModel

Float64Array = npt.NDArray[np.float64]

# Progress is reported about so often.
_PARTS = 20
_MOST_POINTS = 100  # a million actions


@dataclass(frozen=True, kw_only=True)
class ActionGrid:
    """Displacements along the base frame's axes, without rotation and gripper motion.

    Attributes:
        dx: Ascending displacements along x [m].
        dy: Along y [m].
        dz: Along z [m].
    """

    dx: Float64Array
    dy: Float64Array
    dz: Float64Array

    def __post_init__(self) -> None:
        """Check the axes.

        Raises:
            InvalidInputError: One is empty, not ascending, or not finite.
        """
        for name, axis in zip(('dx', 'dy', 'dz'), self.axes, strict=True):
            if np.ndim(axis) != 1 or not len(axis) or not np.isfinite(axis).all():
                raise InvalidInputError(f'{name} must be a list of finite numbers, got {axis}.')
            if (np.diff(axis) <= 0).any():
                raise InvalidInputError(f'{name} must ascend, got {axis}.')

    @classmethod
    def cube(cls, points: int = 5, reach: float = 0.075) -> ActionGrid:
        """Return the grid of the official notebook.

        Args:
            points: Grid points on each axis.
            reach: Largest displacement along each axis [m].

        Raises:
            InvalidInputError: The points are not 2 to 100, or the reach is not positive.
        """
        if not 2 <= points <= _MOST_POINTS or not 0 < reach < np.inf:
            raise InvalidInputError(
                f'a grid needs 2 to {_MOST_POINTS} points per axis and a positive reach, got '
                f'{points} and {reach}.'
            )
        axis = np.linspace(-reach, reach, points)
        return cls(dx=axis, dy=axis, dz=axis)

    @property
    def axes(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """``dx``, ``dy`` and ``dz``."""
        return self.dx, self.dy, self.dz

    @property
    def actions(self) -> Float64Array:
        """All actions, shape (points, 7); dz changes fastest, dx slowest."""
        displacements = np.stack(np.meshgrid(*self.axes, indexing='ij'), axis=-1).reshape(-1, 3)
        actions = np.zeros((len(displacements), ACTION_DIM))
        actions[:, :3] = displacements
        return actions


@dataclass(frozen=True, kw_only=True)
class EnergyLandscape:
    """Energies one step ahead.

    Attributes:
        grid: The actions.
        energies: Energy after each, shape (len(dx), len(dy), len(dz)).
    """

    grid: ActionGrid
    energies: FloatArray

    @property
    def lowest(self) -> tuple[Float64Array, float]:
        """The action of the lowest energy, shape (7,), and that energy."""
        best = int(self.energies.argmin())
        return self.grid.actions[best], float(self.energies.flat[best])

    @property
    def table(self) -> Float64Array:
        """Actions and their energies, shape (points, 8)."""
        return np.column_stack((self.grid.actions, self.energies.reshape(-1)))

    def rank(self, energy: float) -> int:
        """Return the place of an energy among those of the grid, 1 if none is lower."""
        return 1 + int((self.energies < energy).sum())


def measure_landscape(
    world_model: WorldModel,
    embedding: FloatArray,
    state: npt.ArrayLike,
    goal: FloatArray,
    grid: ActionGrid,
    progress: Callable[[int], object] = lambda _: None,
) -> EnergyLandscape:
    """Predict where every action of a grid leads, and compare with the goal.

    With ``ActionGrid.cube()`` this is what the official ``energy_landscape_example`` computes.

    Args:
        world_model: Predicts.
        embedding: Of the present image, shape (tokens, dim).
        state: Present state, shape (7,).
        goal: Embedding of the goal image, shape (tokens, dim).
        grid: The actions.
        progress: Called with the number of actions that were done since the last call.

    Raises:
        InvalidInputError: Shapes do not fit, or numbers are not finite.
    """
    parts = []
    actions = grid.actions[:, None]
    for part in np.array_split(actions, min(_PARTS, len(actions))):
        parts.append(world_model.candidate_energies(embedding, state, part, goal))
        progress(len(part))
    shape = tuple(len(axis) for axis in grid.axes)
    return EnergyLandscape(grid=grid, energies=np.concatenate(parts).reshape(shape))
