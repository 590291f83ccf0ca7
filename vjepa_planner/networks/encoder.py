# SPDX-License-Identifier: Apache-2.0
"""The encoder of V-JEPA 2 and 2.1: a vision transformer over tubelets of a clip."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks.blocks import Block, initialise
from vjepa_planner.networks.config import EncoderConfig
from vjepa_planner.networks.rope import (
    cached_table,
    grid_positions,
    interpolated_positions,
    table_dtype,
)
from vjepa_planner.networks.stem import PatchEmbed, STEMS


class Encoder(nn.Module):
    """Clip to patch tokens, at any resolution.

    V-JEPA 2.1 differs in that a clip of one frame is taken for an image, which has patches of its
    own; a learned vector says which of the two it is; and four of its levels are normalised.

    Attributes:
        config: Sizes. ``img_size`` and ``num_frames`` say what it was trained on, not a limit.
    """

    def __init__(self, config: EncoderConfig) -> None:
        """Make an untrained encoder with the published initial weights."""
        super().__init__()
        self.config = config
        self.patch_embed = STEMS[config.stem](config, config.tubelet_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        if config.version == '2':
            self.norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)
        else:
            self.norms_block = nn.ModuleList(
                nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)
                for _ in config.output_blocks
            )
            self.patch_embed_img = PatchEmbed(config, 1)
            self.img_mod_embed = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
            self.video_mod_embed = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        initialise(self, self.blocks)

    def forward(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            clip: Normalised RGB, shape (B, 3, T, H, W); T a multiple of the tubelet size, H and
                W of the patch size. V-JEPA 2 takes a still image as the same frame twice;
                V-JEPA 2.1 also takes a single frame.
            keep: Ids of the tokens to keep, shape (B, K); the others are not seen. All if None.

        Returns:
            Shape (B, N, D), N = (T / tubelet) * (H / patch) * (W / patch), or (B, K, D).

        Raises:
            InvalidInputError: The clip's shape does not fit.
        """
        return self._levels(clip, keep, last_only=True)[0]

    def hierarchical(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode, with the four normalised levels of V-JEPA 2.1 side by side.

        Args:
            clip: As in :meth:`forward`.
            keep: Likewise.

        Returns:
            Shape (B, N, 4 * D), the last level last.

        Raises:
            InvalidInputError: The clip's shape does not fit, or this is no V-JEPA 2.1 encoder.
        """
        if self.config.version == '2':
            raise InvalidInputError(
                'only V-JEPA 2.1 encoders give several levels; this one is of V-JEPA 2.'
            )
        return torch.cat(self._levels(clip, keep, last_only=False), dim=-1)

    def _levels(self, clip: Tensor, keep: Tensor | None, last_only: bool) -> list[Tensor]:
        """Return the last of the normalised levels, or all of them, each (B, N, D)."""
        config = self.config
        table = cached_table(
            interpolated_positions if config.interpolate_rope else grid_positions,
            self._grid_of(clip),
            config.width // config.num_heads,
            table_dtype(clip),
            clip.device,
            config.interleaved,
        )
        # In half precision, too, what the blocks add up stays in float32.
        x = self._embed(clip, table.dtype)
        if keep is not None:
            x = torch.gather(x, 1, keep[..., None].expand(-1, -1, x.shape[-1]))
            table = table[:, keep]
        norms = self._norms()
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x, table)
            if index in norms and (index == config.depth - 1 or not last_only):
                levels.append(norms[index](x))
        return levels

    def _norms(self) -> dict[int, nn.Module]:
        """Return the norm of each level by the index of its block."""
        if self.config.version == '2':
            return {self.config.depth - 1: self.norm}
        return dict(zip(self.config.output_blocks, self.norms_block, strict=True))

    def _embed(self, clip: Tensor, dtype: torch.dtype) -> Tensor:
        image = self._is_image(clip)
        tokens: Tensor = self.patch_embed_img(clip) if image else self.patch_embed(clip)
        tokens = tokens.to(dtype)
        if self.config.version == '2':
            return tokens
        return tokens + (self.img_mod_embed if image else self.video_mod_embed)

    def _is_image(self, clip: Tensor) -> bool:
        return clip.shape[2] == 1 and self.config.version == '2.1'

    def _grid_of(self, clip: Tensor) -> tuple[int, int, int]:
        tubelet, patch = self.config.tubelet_size, self.config.patch_size
        if clip.ndim != 5 or clip.shape[1] != self.config.in_chans:
            raise InvalidInputError(
                f'clip must have shape (batch, {self.config.in_chans}, frames, height, width), '
                f'got {tuple(clip.shape)}.'
            )
        _, _, frames, height, width = clip.shape
        image = self._is_image(clip)
        if (frames % tubelet and not image) or height % patch or width % patch or 0 in clip.shape:
            raise InvalidInputError(
                f'clip must have a multiple of {tubelet} frames and sides that are multiples of '
                f'{patch} pixels, got {frames} frames of {height} x {width}.'
            )
        return 1 if image else frames // tubelet, height // patch, width // patch
