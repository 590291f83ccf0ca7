# SPDX-License-Identifier: Apache-2.0
"""Random colours for training clips, equal within a sample: only motion tells frames apart."""

from __future__ import annotations

import torch
from torch import Tensor

_PERMUTE_PROBABILITY = 0.5
_GAIN = 0.25
_BIAS = 0.08
_NOISE = 0.01


def jitter_colors(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images with channels permuted, scaled and shifted, and a little noise.

    Args:
        images: RGB in 0..1, shape (B, frames, 3, height, width); all frames of one sample are
            changed alike.
        generator: Source of the randomness.
    """
    batch = len(images)
    order = torch.argsort(torch.rand(batch, 3, generator=generator), dim=1)
    keep = torch.rand(batch, generator=generator) > _PERMUTE_PROBABILITY
    order[keep] = torch.arange(3)
    images = torch.gather(images, 2, order[:, None, :, None, None].expand_as(images))
    gain = 1 + _GAIN * (2 * torch.rand(batch, 1, 3, 1, 1, generator=generator) - 1)
    bias = _BIAS * (2 * torch.rand(batch, 1, 3, 1, 1, generator=generator) - 1)
    noise = _NOISE * torch.randn(images.shape, generator=generator)
    return (images * gain + bias + noise).clamp(0, 1)
