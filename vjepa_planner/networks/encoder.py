# SPDX-License-Identifier: Apache-2.0
"""The V-JEPA 2 encoder: a vision transformer over tubelets of a clip."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks.blocks import Block, initialise
from vjepa_planner.networks.config import EncoderConfig
from vjepa_planner.networks.rope import cached_table, grid_positions, table_dtype


class PatchEmbed(nn.Module):
    """Cut a clip into tubelets and project each to one token."""

    def __init__(self, config: EncoderConfig) -> None:
        """Make the projection, a convolution whose stride is its kernel."""
        super().__init__()
        kernel = (config.tubelet_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_chans, config.embed_dim, kernel, kernel)

    def forward(self, clip: Tensor) -> Tensor:
        """Return tokens (B, N, D), time-major, then rows, of a clip (B, C, T, H, W)."""
        patches: Tensor = self.proj(clip)
        return patches.flatten(2).transpose(1, 2)


class Encoder(nn.Module):
    """Clip to patch tokens, at any resolution.

    Attributes:
        config: Sizes. ``img_size`` and ``num_frames`` say what it was trained on, not a limit.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Make an untrained encoder with the published initial weights."""
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)
        initialise(self, self.blocks)

    def forward(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            clip: Normalised RGB, shape (B, 3, T, H, W); T a multiple of the tubelet size, H and
                W of the patch size. A still image is given as the same frame twice.
            keep: Ids of the tokens to keep, shape (B, K); the others are not seen. All if None.

        Returns:
            Shape (B, N, D), N = (T / tubelet) * (H / patch) * (W / patch), or (B, K, D).

        Raises:
            InvalidInputError: The clip's shape does not fit.
        """
        table = cached_table(
            grid_positions,
            self._grid_of(clip),
            self.config.width // self.config.num_heads,
            table_dtype(clip),
            clip.device,
        )
        # In half precision, too, what the blocks add up stays in float32.
        x: Tensor = self.patch_embed(clip).to(table.dtype)
        if keep is not None:
            x = torch.gather(x, 1, keep[..., None].expand(-1, -1, x.shape[-1]))
            table = table[:, keep]
        for block in self.blocks:
            x = block(x, table)
        out: Tensor = self.norm(x)
        return out

    def _grid_of(self, clip: Tensor) -> tuple[int, int, int]:
        tubelet, patch = self.config.tubelet_size, self.config.patch_size
        if clip.ndim != 5 or clip.shape[1] != self.config.in_chans:
            raise InvalidInputError(
                f'clip must have shape (batch, {self.config.in_chans}, frames, height, width), '
                f'got {tuple(clip.shape)}.'
            )
        _, _, frames, height, width = clip.shape
        if frames % tubelet or height % patch or width % patch or 0 in clip.shape:
            raise InvalidInputError(
                f'clip must have a multiple of {tubelet} frames and sides that are multiples of '
                f'{patch} pixels, got {frames} frames of {height} x {width}.'
            )
        return frames // tubelet, height // patch, width // patch
