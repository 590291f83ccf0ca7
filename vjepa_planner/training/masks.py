# SPDX-License-Identifier: Apache-2.0
"""Which tokens of a clip are hidden in masked pre-training: blocks, as tubes through all frames.

Facts from ``src/masks/multiseq_multiblock3d.py`` of facebookresearch/vjepa2 (c2963a4) and
``configs/train/vitl16/pretrain-256px-16f.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple

import torch
from torch import Tensor

from vjepa_planner.errors import InvalidInputError

_ASPECTS = (0.75, 1.5)


@dataclass(frozen=True)
class Blocks:
    """One way to hide a part of a clip.

    Attributes:
        count: Blocks of one clip; they may overlap.
        scale: Share of an image that each of them covers.
    """

    count: int
    scale: float


PUBLISHED_BLOCKS = (Blocks(8, 0.15), Blocks(2, 0.7))
"""The two sets of V-JEPA 2; every clip is used with both."""


class Mask(NamedTuple):
    """Ids of tokens (time-major, then rows), sorted, for each clip of a batch.

    Attributes:
        context: Those that are seen, shape (B, K).
        target: Those that are to be predicted, shape (B, M).
    """

    context: Tensor
    target: Tensor

    def part(self, samples: slice) -> Mask:
        """Return the masks of some of the clips."""
        return Mask(self.context[samples], self.target[samples])


def block_size(grid: tuple[int, int], scale: float, aspect: float) -> tuple[int, int]:
    """Return height and width of a block [patches].

    Args:
        grid: Patches per column and per row of an image.
        scale: Share of the image that it covers, before rounding.
        aspect: Its height by its width.
    """
    area = int(grid[0] * grid[1] * scale)
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    return max(1, min(height, grid[0])), max(1, min(width, grid[1]))


def draw_mask(
    blocks: Blocks, grid: tuple[int, int, int], batch: int, generator: torch.Generator
) -> Mask:
    """Hide blocks of one size, drawn for the batch, at places drawn for each clip.

    A clip is drawn again while nothing of it is left to see. Both lists are cut to the shortest
    of the batch, from the end, so that the batch is rectangular.

    Args:
        blocks: How many, and how large.
        grid: Tokens of a clip: time, rows, columns.
        batch: Number of clips.
        generator: Source of the randomness.

    Raises:
        InvalidInputError: The grid is so small that one block hides everything.
    """
    time, rows, columns = grid
    low, high = _ASPECTS
    aspect = low + (high - low) * torch.rand(1, generator=generator).item()
    size = block_size((rows, columns), blocks.scale, aspect)
    if size == (rows, columns):
        raise InvalidInputError(
            f'masks need images of more patches than {rows} x {columns}: one block hides all of '
            'them. Use larger images or smaller patches.'
        )
    hidden = _draw_hidden(blocks.count, size, (rows, columns), batch, generator)
    while (everything := hidden.all(1)).any():
        again = int(everything.sum())
        hidden[everything] = _draw_hidden(blocks.count, size, (rows, columns), again, generator)
    tubes = hidden.repeat(1, time)
    return Mask(_shortest(~tubes), _shortest(tubes))


def _draw_hidden(
    count: int,
    size: tuple[int, int],
    grid: tuple[int, int],
    batch: int,
    generator: torch.Generator,
) -> Tensor:
    """Return whether each patch of an image is in a block, shape (batch, rows * columns)."""
    covered = []
    for side, length in zip(grid, size, strict=True):
        first = torch.randint(side - length + 1, (batch, count, 1), generator=generator)
        place = torch.arange(side)
        covered.append((place >= first) & (place < first + length))
    rows, columns = covered
    return (rows[..., :, None] & columns[..., None, :]).any(1).flatten(1)


def _shortest(chosen: Tensor) -> Tensor:
    """Return the ids (batch, shortest) of what is chosen, the first ones of each row."""
    length = int(chosen.sum(1).min())
    # A stable sort puts the chosen ones first and leaves them in order.
    return torch.argsort(~chosen, dim=1, stable=True)[:, :length]
