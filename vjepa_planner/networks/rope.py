# SPDX-License-Identifier: Apache-2.0
"""Rotary position encoding over time, height and width, as the released weights need it.

A head's lanes are split into three equal segments, one per axis, and a rest that is not rotated.
Lanes pair up as (0, 1), (2, 3), ..., but the frequencies run through a segment *twice*,
``f0 .. f9 f0 .. f9``, so that the two lanes of a pair turn by different angles. This is no true
rotation and the product of a query and a key depends on absolute positions; the weights were
trained that way, so it must not be "repaired" or written with complex numbers.

V-JEPA 2.1 does turn both lanes of a pair by the same angle, ``f0 f0 f1 f1 ..``: interleaved. Its
encoder also interpolates: rows and columns are spread over the 16 x 16 grid of 256 px images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

_BASE = 10000.0
_REFERENCE_GRID = 16  # patches a side that V-JEPA 2.1 interpolates positions to


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate queries or keys by their positions.

    Args:
        x: Shape (..., head_dim).
        table: Cosines and signed sines, shape (2, ..., head_dim), broadcast against ``x``.

    Returns:
        Shape of ``x``, in the wider dtype of the two.
    """
    even, odd = x.view(*x.shape[:-1], -1, 2).unbind(-1)
    partner = torch.stack((odd, even), dim=-1).flatten(-2)
    return torch.addcmul(x * table[0], partner.to(table.dtype), table[1])


def rotation_table(
    positions: Tensor, head_dim: int, dtype: torch.dtype, interleaved: bool = False
) -> Tensor:
    """Return cosines and signed sines for :func:`rotate`.

    Args:
        positions: Time, height and width position of each token, shape (N, 3).
        head_dim: Lanes per attention head.
        dtype: Of the result; the angles are computed in float64.
        interleaved: As V-JEPA 2.1 has it, see the module's first lines.

    Returns:
        Shape (2, N, head_dim). The sine of an even lane is negative, which spares negating the
        partner lane at every call.
    """
    per_axis = 2 * (head_dim // 3 // 2)
    half = per_axis // 2
    exponent = torch.arange(half, dtype=torch.float64) / max(half, 1)
    frequency = _BASE**-exponent
    frequency = frequency.repeat_interleave(2) if interleaved else frequency.repeat(2)
    angles = (positions.double()[:, :, None] * frequency).flatten(1)  # (N, 3 * per_axis)
    cosine = torch.ones(len(positions), head_dim, dtype=torch.float64)
    sine = torch.zeros_like(cosine)
    cosine[:, : 3 * per_axis] = angles.cos()
    sine[:, : 3 * per_axis] = angles.sin()
    sine[:, ::2] *= -1.0
    return torch.stack((cosine, sine)).to(dtype)


def grid_positions(time: int, height: int, width: int) -> Tensor:
    """Return the position of each token of a clip, (time * height * width, 3), time-major."""
    axes = (torch.arange(float(size)) for size in (time, height, width))
    return torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1).flatten(0, 2)


def interpolated_positions(time: int, height: int, width: int) -> Tensor:
    """Return positions as :func:`grid_positions`, with rows and columns in 0..15 on any grid.

    A grid of one row or column, which the official code divides by zero for, stays at 0.
    """
    sides = (time, height, width)
    scale = [1.0, *((_REFERENCE_GRID - 1) / max(side - 1, 1) for side in sides[1:])]
    return grid_positions(*sides).double() * torch.tensor(scale, dtype=torch.float64)


def conditioned_positions(time: int, height: int, width: int) -> Tensor:
    """Return positions of action, state and patches of each step, (time * (2 + h * w), 3).

    Action and state turn with time only. As in the official code both spatial axes are scaled
    by the patches per *column*, which matters where the image is not square.
    """
    return _conditioned(2, time, height, width)


def stateless_positions(time: int, height: int, width: int) -> Tensor:
    """Return :func:`conditioned_positions` without those of the states."""
    return _conditioned(1, time, height, width)


def _conditioned(tokens: int, time: int, height: int, width: int) -> Tensor:
    patches = grid_positions(time, height, width).view(time, height * width, 3)
    patches[..., 2] *= height / width
    condition = torch.zeros(time, tokens, 3)
    condition[..., 0] = torch.arange(float(time))[:, None]
    return torch.cat((condition, patches), dim=1).flatten(0, 1)


@lru_cache(maxsize=32)
def cached_table(
    positions: Callable[[int, int, int], Tensor],
    grid: tuple[int, int, int],
    head_dim: int,
    dtype: torch.dtype,
    device: torch.device,
    interleaved: bool = False,
) -> Tensor:
    """Return the rotation table of a grid (time, height, width), made once per device.

    Args:
        positions: :func:`grid_positions` or another one of this module.
        grid: Its three arguments.
        head_dim: Lanes per attention head.
        dtype: Of the table; see :func:`table_dtype`.
        device: Where it is kept.
        interleaved: See :func:`rotation_table`.
    """
    # A table first asked for under inference mode must also serve training later.
    with torch.inference_mode(False):
        return rotation_table(positions(*grid), head_dim, dtype, interleaved).to(device)


def table_dtype(x: Tensor) -> torch.dtype:
    """Return float64 for float64 activations, else float32: bfloat16 angles lose parity."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
