# SPDX-License-Identifier: Apache-2.0
"""How many images or candidates are computed at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float = TypeVar('Float', np.float32, np.float64)


def candidate_chunks(
    candidates: int, predictor: Mapping[str, Any], tokens: int, memory: int, limit: int
) -> Iterator[slice]:
    """Yield slices of the candidates whose activations fit into some memory.

    Args:
        candidates: Their number S.
        predictor: Section ``ac_predictor`` of ``config.json``.
        tokens: Patch tokens of one candidate, over all its steps.
        memory: For activations of float32 [bytes].
        limit: Most candidates of a slice.
    """
    width, ratio = predictor['predictor_embed_dim'], predictor['mlp_ratio']
    per_token = 4 * width * (8 + ratio)  # qkv, rotated, residual, hidden
    size = max(1, min(limit, int(memory / (tokens * per_token))))
    for start in range(0, candidates, size):
        yield slice(start, min(start + size, candidates))


def filled_up(rows: npt.NDArray[Float], batches: tuple[int, ...]) -> npt.NDArray[Float]:
    """Return rows with the last one repeated, until their number is one of some sizes of batch.

    Args:
        rows: Shape (B, ...).
        batches: Sizes that the engine has, ascending; the last is at least B. Empty for any.
    """
    if not batches:
        return rows
    size = next(batch for batch in batches if batch >= len(rows))
    return np.concatenate((rows, np.repeat(rows[-1:], size - len(rows), axis=0)))
