# SPDX-License-Identifier: Apache-2.0
"""How the model's idea of the base axes differs from the robot's, and setting it right.

V-JEPA 2-AC infers the axes of its actions from the picture. Turn the camera, and what it takes for
x is turned as well. The paper (arXiv 2506.09985, appendix B.4) measures that with moves that are
known: from the images before and after, the planner infers the displacement in one step; the least
squares map from inferred to executed displacements is close to a scaled rotation. Its experiments
do not use the map; here it can be applied to what is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.types import FloatArray, Goal, Observation, Plan

if TYPE_CHECKING:
    from vjepa_planner.mpc import ModelPredictiveController

Float64Array = npt.NDArray[np.float64]

MIN_SAMPLES_PER_AXIS = 4
MAX_EXCITATION = 5.0
"""Largest ratio of the moves' extents along their axes: beyond, one was hardly moved along."""
MAX_CONDITION = 4.0
"""Largest condition number of the map; the paper finds about 1.5."""
MAX_RELATIVE_RESIDUAL = 0.5
"""Largest residual, as a part of the moves; the paper finds about a third."""

_AXES = (2, 3)
_FILE_KEYS = ('matrix', 'residual', 'condition_number', 'samples', 'model')


class CalibrationError(VjepaPlannerError):
    """Moves from which no map can be found, or a file that holds none."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The map from inferred to executed displacements: ``executed = inferred @ matrix``.

    Attributes:
        matrix: Shape (2, 2) for x and y, or (3, 3).
        residual: Root mean square of what the map leaves over [m].
        condition_number: Of the matrix; 1 for a scaled rotation.
        samples: Moves that it was found from.
        model: Name of the world model that it holds for.
    """

    matrix: Float64Array
    residual: float
    condition_number: float
    samples: int
    model: str

    @property
    def axes(self) -> int:
        """How many axes it maps: 2 for x and y, 3 for z as well."""
        return len(self.matrix)

    @property
    def rotation(self) -> float:
        """Angle about z by which the robot's axes are turned against the model's [rad].

        Of the nearest rotation U V^T of the singular value decomposition, in the plane of x and y.
        """
        left, _, right = np.linalg.svd(self.matrix)
        turn = (left @ right).T  # of column vectors
        return math.atan2(turn[1, 0], turn[0, 0])

    @property
    def scale(self) -> float:
        """Geometric mean of the factors by which it stretches."""
        return float(abs(np.linalg.det(self.matrix)) ** (1.0 / self.axes))

    def corrected(self, actions: Float64Array) -> Float64Array:
        """Return actions (..., 7) with their displacements mapped."""
        result = np.array(actions, dtype=np.float64)
        result[..., : self.axes] = result[..., : self.axes] @ self.matrix
        return result

    def corrected_plan(self, plan: Plan) -> Plan:
        """Return a plan as the robot has to execute it; its energies are the model's."""
        return replace(plan, actions=self.corrected(plan.actions))


def fit_calibration(
    inferred: npt.ArrayLike, executed: npt.ArrayLike, model: str, axes: int = 2
) -> Calibration:
    """Return the least squares map from inferred to executed displacements.

    Args:
        inferred: What the planner took each move for, shape (moves, 2 or more) [m].
        executed: What was measured, of the same shape [m].
        model: Name of the world model.
        axes: 2 for x and y as in the paper, 3 for z as well.

    Raises:
        InvalidInputError: Shapes do not fit, or numbers are not finite.
        CalibrationError: The moves do not determine a map, or the model did not see them.
    """
    if axes not in _AXES:
        raise InvalidInputError(f'axes must be 2 or 3, got {axes}.')
    source, target = _moves(inferred, 'inferred', axes), _moves(executed, 'executed', axes)
    if source.shape != target.shape:
        raise InvalidInputError(
            f'inferred and executed must be as many, got {len(source)} and {len(target)}.'
        )
    _check_moves(target, axes)
    if np.linalg.matrix_rank(source) < axes:
        raise CalibrationError(
            'the model infers the same direction for all moves: it does not see them. Is the arm '
            'in the picture, and the camera still?'
        )
    matrix: Float64Array = np.asarray(np.linalg.lstsq(source, target)[0], dtype=np.float64)
    error = target - source @ matrix
    calibration = Calibration(
        matrix=matrix,
        residual=_root_mean_square(error),
        condition_number=float(np.linalg.cond(matrix)),
        samples=len(source),
        model=model,
    )
    _check_map(calibration, _root_mean_square(target))
    return calibration


def _moves(values: npt.ArrayLike, name: str, axes: int) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < axes or not np.isfinite(array).all():
        raise InvalidInputError(
            f'{name} must be finite numbers of shape (moves, {axes} or more), got shape '
            f'{array.shape}.'
        )
    return array[:, :axes]


def _check_moves(executed: Float64Array, axes: int) -> None:
    """Raise unless the moves are enough, and go along all axes."""
    needed = MIN_SAMPLES_PER_AXIS * axes
    if len(executed) < needed:
        raise CalibrationError(f'{axes} axes need at least {needed} moves, got {len(executed)}.')
    extents: Float64Array = np.asarray(np.linalg.svd(executed, compute_uv=False), np.float64)
    if extents[-1] * MAX_EXCITATION < extents[0] or extents[-1] == 0.0:
        raise CalibrationError(
            f'the moves lie along {axes - 1} of {axes} axes: the ratio of their extents is '
            f'{_ratio(extents):.1f}, at most {MAX_EXCITATION:g} is allowed. Move in all '
            'directions.'
        )


def _check_map(calibration: Calibration, extent: float) -> None:
    """Raise if the map is nothing to move a robot by."""
    condition, residual = calibration.condition_number, calibration.residual
    if residual > MAX_RELATIVE_RESIDUAL * extent:
        raise CalibrationError(
            f'the inferred displacements do not follow the executed ones: {100 * residual:.1f} cm '
            f'are left of moves of {100 * extent:.1f} cm, at most {MAX_RELATIVE_RESIDUAL:g} of '
            'them may be. Is the arm well in view, and the camera one that this model can use?'
        )
    if condition > MAX_CONDITION:
        raise CalibrationError(
            f'the map is ill-conditioned: its condition number is {condition:.1f}, at most '
            f'{MAX_CONDITION:g} is allowed (a scaled rotation has 1). One direction is hardly '
            'visible: choose another place for the camera.'
        )
    if np.linalg.det(calibration.matrix) < 0.0:
        raise CalibrationError('the map is a reflection. Is the image of the camera mirrored?')


def _ratio(extents: Float64Array) -> float:
    return float(extents[0] / extents[-1]) if extents[-1] else math.inf


def _root_mean_square(vectors: Float64Array) -> float:
    """Return the root of the mean squared length of vectors (moves, axes)."""
    return float(np.sqrt((vectors**2).sum(axis=1).mean()))


def infer_displacement(
    controller: ModelPredictiveController,
    before: FloatArray,
    state: npt.ArrayLike,
    after: FloatArray,
) -> Float64Array:
    """Return the displacement xyz [m] that the planner takes for the way between two images.

    Args:
        controller: Plans; the first action of its plan counts.
        before: Embedding of the image before the move, shape (tokens, dim).
        state: Measured state before the move, shape (7,).
        after: Embedding of the image after it, shape (tokens, dim).
    """
    observation = Observation(embedding=before, state=np.asarray(state, dtype=np.float64))
    return controller.plan(observation, Goal(embedding=after)).actions[0, :3].copy()


def known_moves(count: int, length: float, axes: int, seed: int = 0) -> Sequence[Float64Array]:
    """Return displacements xyz [m] of a length, each followed by the way back.

    Their directions are spread evenly, so that all axes are moved along alike: over the circle for
    2 axes, over the sphere (a Fibonacci lattice) for 3. The seed turns the first direction.

    Args:
        count: Of moves; half of them go back. Made even.
        length: Of each [m].
        axes: 2 or 3.
        seed: Of the first direction.
    """
    pairs = (count + 1) // 2
    angle = np.random.default_rng(seed).uniform(0.0, 2.0 * math.pi)
    moves: list[Float64Array] = []
    for index in range(pairs):
        height = 0.0 if axes == 2 else 1.0 - (2.0 * index + 1.0) / pairs
        turn = angle + 2.0 * math.pi * index * (1.0 / pairs if axes == 2 else _GOLDEN)
        radius = math.sqrt(1.0 - height**2)
        move = length * np.array([radius * math.cos(turn), radius * math.sin(turn), height])
        moves += [move, -move]
    return moves


_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as YAML."""
    import yaml

    content = {
        **{key: getattr(calibration, key) for key in _FILE_KEYS},
        'matrix': calibration.matrix.tolist(),
        'rotation': calibration.rotation,
        'scale': calibration.scale,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '# executed displacement [m] = inferred displacement @ matrix; rotation [rad].\n'
        + yaml.safe_dump(content, sort_keys=False)
    )


def read_calibration(path: Path) -> Calibration:
    """Return the calibration that a file holds.

    Raises:
        CalibrationError: It cannot be read, or holds none that may be applied.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationError(f'calibration file {path} cannot be read: {error}') from error
    try:
        calibration = _from_content(content)
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationError(
            f'calibration file {path} needs {", ".join(_FILE_KEYS)} as `vjepa calibrate` writes '
            f'them ({type(error).__name__}: {error}).'
        ) from error
    condition = float(np.linalg.cond(calibration.matrix))
    if not condition <= MAX_CONDITION:
        raise CalibrationError(
            f'calibration file {path} has a matrix with condition number {condition:.1f}, at most '
            f'{MAX_CONDITION:g} is applied.'
        )
    return calibration


def _from_content(content: dict[str, Any]) -> Calibration:
    matrix = np.array(content['matrix'], dtype=np.float64)
    if matrix.shape not in [(axes, axes) for axes in _AXES] or not np.isfinite(matrix).all():
        raise ValueError(f'matrix of shape {matrix.shape}')
    return Calibration(
        matrix=matrix,
        residual=float(content['residual']),
        condition_number=float(content['condition_number']),
        samples=int(content['samples']),
        model=str(content['model']),
    )
