# SPDX-License-Identifier: Apache-2.0
"""Whether an engine computes what the reference computes, and ranks actions alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.types import FloatArray
from vjepa_planner.world_model import WorldModel

_IMAGES = 4
_COARSE = 8  # cells a side of the random pictures: like a scene, they are smooth
_STATE = np.array([0.45, 0.0, 0.3, np.pi, 0.0, 0.0, 0.2])
_ACTION_SCALE = np.array([0.075, 0.075, 0.075, 0.05, 0.05, 0.05, 0.5])  # m, rad, closedness


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """What counts as the same.

    Attributes:
        error: Largest absolute difference of an embedding's elements.
        cosine: Least cosine between two tokens.
        rank: Least rank correlation (Spearman) of the energies of random actions.
    """

    error: float
    cosine: float
    rank: float


TOLERANCES = {
    'float32': Tolerances(error=1e-4, cosine=0.99999, rank=0.999),
    'bfloat16': Tolerances(error=0.5, cosine=0.999, rank=0.999),
    'float16': Tolerances(error=0.1, cosine=0.9999, rank=0.999),
}
"""By precision of the engine. The reference computes in float32."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One line of a report.

    Attributes:
        what: Was compared.
        error: Largest absolute difference.
        cosine: Least cosine between two tokens; None for energies.
        rank: Rank correlation of energies; None for embeddings.
        within: Whether it is within the tolerances.
    """

    what: str
    error: float
    cosine: float | None = None
    rank: float | None = None
    within: bool

    def __str__(self) -> str:
        """Return a line of the table."""
        cosine = '' if self.cosine is None else f'{self.cosine:.7f}'
        rank = '' if self.rank is None else f'{self.rank:.6f}'
        verdict = 'ok' if self.within else 'MISSED'
        return f'{self.what:<24}{self.error:>12.2e}{cosine:>12}{rank:>12}   {verdict}'


HEADING = f'{"":<24}{"max error":>12}{"min cosine":>12}{"rank corr.":>12}'


def compare(
    engine: WorldModel,
    reference: WorldModel,
    tolerances: Tolerances,
    *,
    horizon: int = 1,
    candidates: int = 256,
    seed: int = 0,
) -> Iterator[Comparison]:
    """Compare an engine with a reference on the same random inputs.

    Args:
        engine: To be checked.
        reference: The same model on another engine, by convention torch in float32.
        tolerances: What counts as the same.
        horizon: Longest action sequence; 0 leaves the predictor out.
        candidates: Random action sequences of each length.
        seed: Of pictures and actions.

    Yields:
        The encoder, then for every length of sequence the predictions and the energies.
    """
    rng = np.random.default_rng(seed)
    images = _pictures(rng, reference.config.image_size)
    expected, actual = reference.encode(images), engine.encode(images)
    yield _compare_embeddings('encoder', actual, expected, tolerances)
    context, goal = expected[0], expected[1]
    for length in range(1, horizon + 1):
        actions = rng.uniform(-1, 1, (candidates, length, 7)) * _ACTION_SCALE
        few = actions[:_IMAGES]
        yield _compare_embeddings(
            f'predictor, {_steps(length)}',
            engine.rollout(context, _STATE, few)[0],
            reference.rollout(context, _STATE, few)[0],
            tolerances,
        )
        yield _compare_energies(
            f'energy, {_steps(length)}',
            engine.candidate_energies(context, _STATE, actions, goal),
            reference.candidate_energies(context, _STATE, actions, goal),
            tolerances,
        )


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return Spearman's coefficient of two lists of different numbers; ties count by position."""
    first, second = (np.argsort(np.argsort(np.asarray(values))) for values in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def to_json(comparisons: list[Comparison], tolerances: Tolerances) -> Mapping[str, object]:
    """Return a report as JSON takes it."""
    return {
        'within': all(comparison.within for comparison in comparisons),
        'tolerances': asdict(tolerances),
        'comparisons': [asdict(comparison) for comparison in comparisons],
    }


def _compare_embeddings(
    what: str, actual: FloatArray, expected: FloatArray, tolerances: Tolerances
) -> Comparison:
    error = float(np.abs(actual - expected).max())
    length = np.linalg.norm(actual, axis=-1) * np.linalg.norm(expected, axis=-1)
    cosine = float(((actual * expected).sum(-1) / length).min())
    # Not "greater than": comparisons with NaN are false.
    within = error <= tolerances.error and cosine >= tolerances.cosine
    return Comparison(what=what, error=error, cosine=cosine, within=within)


def _compare_energies(
    what: str, actual: FloatArray, expected: FloatArray, tolerances: Tolerances
) -> Comparison:
    error = float(np.abs(actual - expected).max())
    rank = rank_correlation(actual, expected)
    within = error <= tolerances.error and rank >= tolerances.rank
    return Comparison(what=what, error=error, rank=rank, within=within)


def _pictures(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (_IMAGES, _COARSE, _COARSE, 3), dtype=np.uint8)
    return np.stack([cv2.resize(cells, size[::-1]).astype(np.uint8) for cells in coarse])


def _steps(length: int) -> str:
    return f'{length} step' + ('s' if length > 1 else '')
