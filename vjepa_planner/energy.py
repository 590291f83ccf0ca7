# SPDX-License-Identifier: Apache-2.0
"""How far a predicted embedding is from the goal's."""

from __future__ import annotations

import numpy as np

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import FloatArray


def energy(embeddings: FloatArray, goal: FloatArray) -> FloatArray:
    """Return the mean absolute difference to the goal's embedding.

    Args:
        embeddings: Shape (..., tokens, dim).
        goal: Shape (tokens, dim).

    Returns:
        Shape (...), float32, accumulated in float32.

    Raises:
        InvalidInputError: The last two dimensions differ.
    """
    if np.ndim(goal) != 2 or np.shape(embeddings)[-2:] != np.shape(goal):
        raise InvalidInputError(
            'embeddings (..., tokens, dim) and goal (tokens, dim) do not fit: '
            f'{np.shape(embeddings)} and {np.shape(goal)}.'
        )
    difference = np.subtract(embeddings, goal, dtype=np.float32)
    np.abs(difference, out=difference)
    return np.asarray(difference.mean(axis=(-2, -1), dtype=np.float32))
