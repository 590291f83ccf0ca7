# SPDX-License-Identifier: Apache-2.0
"""How many candidates are rolled out at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def candidate_chunks(
    candidates: int, predictor: Mapping[str, Any], tokens: int, memory: int, limit: int = 4096
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
