# SPDX-License-Identifier: Apache-2.0
"""Reads the gripper off the tokens where the hand is in the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn, Tensor

Locate = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]
"""Maps states (..., 7) to where the tool centre point is in the image: pixels (..., 2), column
and row."""

_WIDTH = 64
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


class HandReadOut(nn.Module):
    """Closedness from the four tokens around a place; used in training only.

    Fingers are a few pixels of an image. An encoder does not find them by a read-out of all its
    tokens; once the tokens of the hand know about them, that read-out follows.
    """

    def __init__(self, embed_dim: int, rows: int, columns: int) -> None:
        """Read embeddings of width ``embed_dim`` on a grid of ``rows`` x ``columns`` tokens."""
        super().__init__()
        self._rows, self._columns = rows, columns
        self.value = nn.Linear(embed_dim, _WIDTH)
        self.out = nn.Sequential(
            nn.Linear(len(_CORNERS) * _WIDTH + 2, 2 * _WIDTH),
            nn.GELU(),
            nn.Linear(2 * _WIDTH, 1),
        )

    def forward(self, embeddings: Tensor, places: Tensor) -> Tensor:
        """Return the closedness read off, shape (...).

        Args:
            embeddings: Shape (..., N, D).
            places: Column and row in tokens, from the centre of the first one; shape (..., 2).
        """
        corner = places.floor()
        values = self.value(embeddings)
        around = [self._at(values, corner + corner.new_tensor(shift)) for shift in _CORNERS]
        closedness: Tensor = self.out(torch.cat([*around, places - corner], dim=-1))
        return closedness[..., 0]

    def _at(self, values: Tensor, cell: Tensor) -> Tensor:
        """Return the values (..., W) of the token at a cell (..., 2), or of the nearest one."""
        column = cell[..., 0].clamp(0, self._columns - 1).long()
        row = cell[..., 1].clamp(0, self._rows - 1).long()
        index = (row * self._columns + column)[..., None, None]
        return torch.gather(values, -2, index.expand(*index.shape[:-1], _WIDTH))[..., 0, :]
