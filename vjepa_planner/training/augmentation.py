# SPDX-License-Identifier: Apache-2.0
"""Random colours and croppings, drawn for a whole batch and applied to a part of it.

They are equal within a sample: only motion tells its frames apart.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch
from torch import Tensor
import torch.nn.functional as F

_PERMUTE_PROBABILITY = 0.5
_GAIN = 0.25
_BIAS = 0.08
_NOISE = 0.01

# Of facebookresearch/vjepa2, configs/train/vitl16/pretrain-256px-16f.yaml.
_CROP_SCALE = (0.3, 1.0)
_CROP_ASPECT = (0.75, 1.35)
_CROP_TRIES = 10


@dataclass(frozen=True)
class ColorJitter:
    """Channels permuted, scaled and shifted, and a little noise.

    Attributes:
        order: Which channel becomes which, shape (B, 3).
        gain: Shape (B, 1, 3, 1, 1).
        bias: Likewise.
        noise: Shape (B, frames, 3, height, width).
    """

    order: Tensor
    gain: Tensor
    bias: Tensor
    noise: Tensor

    def part(self, samples: slice) -> ColorJitter:
        """Return what belongs to some of the samples."""
        return ColorJitter(
            self.order[samples], self.gain[samples], self.bias[samples], self.noise[samples]
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Return changed images; RGB in 0..1, shape (B, frames, 3, height, width)."""
        order = self.order.to(images.device)[:, None, :, None, None].expand_as(images)
        gain, bias, noise = (x.to(images.device) for x in (self.gain, self.bias, self.noise))
        return (torch.gather(images, 2, order) * gain + bias + noise).clamp(0, 1)


def draw_jitter(shape: tuple[int, ...], generator: torch.Generator) -> ColorJitter:
    """Draw random colours.

    Args:
        shape: Of the images, (B, frames, 3, height, width); all frames of one sample are
            changed alike.
        generator: Source of the randomness.
    """
    batch = shape[0]
    order = torch.argsort(torch.rand(batch, 3, generator=generator), dim=1)
    keep = torch.rand(batch, generator=generator) > _PERMUTE_PROBABILITY
    order[keep] = torch.arange(3)
    gain = 1 + _GAIN * (2 * torch.rand(batch, 1, 3, 1, 1, generator=generator) - 1)
    bias = _BIAS * (2 * torch.rand(batch, 1, 3, 1, 1, generator=generator) - 1)
    noise = _NOISE * torch.randn(shape, generator=generator)
    return ColorJitter(order, gain, bias, noise)


@dataclass(frozen=True)
class Crops:
    """A part of every sample, resized to the whole, some of them mirrored.

    Attributes:
        boxes: Top, left, height and width [px], shape (B, 4).
        mirrored: Shape (B,).
    """

    boxes: Tensor
    mirrored: Tensor

    def part(self, samples: slice) -> Crops:
        """Return what belongs to some of the samples."""
        return Crops(self.boxes[samples], self.mirrored[samples])

    def __call__(self, images: Tensor) -> Tensor:
        """Return changed images; shape (B, frames, 3, height, width)."""
        size = images.shape[-2:]
        parts = []
        boxes, mirrored = self.boxes.tolist(), self.mirrored.tolist()
        for frames, (top, left, height, width), mirror in zip(
            images, boxes, mirrored, strict=True
        ):
            part = frames[..., top : top + height, left : left + width]
            part = F.interpolate(part, size=size, mode='bilinear', align_corners=False)
            parts.append(part.flip(-1) if mirror else part)
        return torch.stack(parts)


def draw_crops(batch: int, size: tuple[int, int], generator: torch.Generator) -> Crops:
    """Draw croppings of 30 to 100 % of the area, half of them mirrored, as V-JEPA 2 was trained.

    The aspect ratio is drawn evenly on a logarithmic scale. Where no box of ten fits, the image is
    taken whole.

    Args:
        batch: Number of samples.
        size: Height and width of the images [px].
        generator: Source of the randomness.
    """
    boxes = torch.tensor([_draw_box(*size, generator) for _ in range(batch)])
    return Crops(boxes, torch.rand(batch, generator=generator) < 0.5)


def _draw_box(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    low, high = (math.log(aspect) for aspect in _CROP_ASPECT)
    for _ in range(_CROP_TRIES):
        scale, aspect, y, x = torch.rand(4, generator=generator).tolist()
        area = height * width * (_CROP_SCALE[0] + scale * (_CROP_SCALE[1] - _CROP_SCALE[0]))
        ratio = math.exp(low + aspect * (high - low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
    return 0, 0, height, width
