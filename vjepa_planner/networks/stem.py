# SPDX-License-Identifier: Apache-2.0
"""From a clip to the first tokens of an encoder."""

from __future__ import annotations

from itertools import pairwise
import math

from torch import nn, Tensor

from vjepa_planner.networks.config import EncoderConfig

_GROUPS = 8


class PatchEmbed(nn.Module):
    """Cut a clip into tubelets and project each to one token."""

    def __init__(self, config: EncoderConfig, frames: int) -> None:
        """Make the projection of ``frames`` frames, a convolution whose stride is its kernel."""
        super().__init__()
        kernel = (frames, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_chans, config.embed_dim, kernel, kernel)

    def forward(self, clip: Tensor) -> Tensor:
        """Return tokens (B, N, D), time-major, then rows, of a clip (B, C, T, H, W)."""
        patches: Tensor = self.proj(clip)
        return patches.flatten(2).transpose(1, 2)


class ConvolutionalStem(nn.Module):
    """Small convolutions that halve the image down to the grid of the patches.

    Not of V-JEPA 2. A small encoder does not learn to see what is a few pixels large, such as
    fingers, through one linear map of a patch; it does through these (after Xiao et al., "Early
    convolutions help transformers see better", 2021). The tokens are as many as with patches.
    """

    def __init__(self, config: EncoderConfig, frames: int) -> None:
        """Make one convolution per halving, and a last one to the width of the tokens.

        The first one takes the ``frames`` of a tubelet together, as a patch does.
        """
        super().__init__()
        self._frames = frames
        halvings = int(math.log2(config.patch_size))
        widths = [config.in_chans * frames]
        widths += [config.embed_dim >> i for i in reversed(range(halvings))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 3, 2, 1, bias=False),
                nn.GroupNorm(_GROUPS, after),
                nn.GELU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], config.embed_dim, 1))

    def forward(self, clip: Tensor) -> Tensor:
        """Return tokens (B, N, D), time-major, then rows, of a clip (B, C, T, H, W)."""
        batch, channels, time, height, width = clip.shape
        steps = time // self._frames
        tubelets = clip.reshape(batch, channels, steps, self._frames, height, width)
        images = tubelets.transpose(1, 2).reshape(batch * steps, -1, height, width)
        cells: Tensor = self.layers(images)
        tokens = cells.flatten(2).transpose(1, 2)
        return tokens.reshape(batch, -1, tokens.shape[-1])


STEMS: dict[str, type[PatchEmbed] | type[ConvolutionalStem]] = {
    'patch': PatchEmbed,
    'convolutional': ConvolutionalStem,
}
