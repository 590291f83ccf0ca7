# SPDX-License-Identifier: Apache-2.0
"""The predictor of pre-training: embeddings of hidden tokens from visible ones."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks.blocks import Block, initialise, Linear
from vjepa_planner.networks.config import MaskedPredictorConfig
from vjepa_planner.networks.rope import (
    cached_table,
    grid_positions,
    interpolated_positions,
    table_dtype,
)


class MaskedPredictor(nn.Module):
    """Context tokens and the ids of hidden tokens to the embeddings of those.

    Attributes:
        config: Sizes. Token ids are decoded on the grid of ``img_size``.
    """

    def __init__(self, config: MaskedPredictorConfig) -> None:
        """Make an untrained predictor with the published initial weights (mask tokens zero)."""
        super().__init__()
        self.config = config
        width = config.predictor_embed_dim
        self.predictor_embed = _input_projection(config)
        self.mask_tokens = nn.ParameterList(
            nn.Parameter(torch.zeros(1, 1, width)) for _ in range(config.num_mask_tokens)
        )
        self.predictor_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.predictor_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.predictor_proj = Linear(width, config.output_width)
        if config.version == '2.1':
            self.img_mod_embed = nn.Parameter(torch.zeros(1, 1, width))
            self.video_mod_embed = nn.Parameter(torch.zeros(1, 1, width))
        if config.return_all_tokens:
            self.predictor_proj_context = Linear(width, config.output_width)
        initialise(self, self.predictor_blocks)

    def forward(
        self,
        context: Tensor,
        context_ids: Tensor,
        target_ids: Tensor,
        mask_index: int = 0,
        image: bool = False,
    ) -> Tensor:
        """Predict the hidden tokens.

        Args:
            context: Embeddings of the visible tokens, shape (B, K, D); where the config has
                several levels, what :meth:`Encoder.hierarchical` gives, (B, K, levels * D).
            context_ids: Their ids in the clip, shape (B, K).
            target_ids: Ids of the tokens to predict, shape (B, M).
            mask_index: Which mask token stands for them, modulo their number.
            image: Whether the clip is a single frame; only V-JEPA 2.1 makes a difference.

        Returns:
            Shape (B, M, levels * D); D is the teacher's width where that is another.
        """
        x = self._transform(context, context_ids, target_ids, mask_index, image)
        predicted: Tensor = self.predictor_proj(x[:, context.shape[1] :])
        return predicted

    def predict_all(
        self,
        context: Tensor,
        context_ids: Tensor,
        target_ids: Tensor,
        mask_index: int = 0,
        image: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Predict the hidden and the visible tokens, as V-JEPA 2.1 was trained.

        Args:
            context: As in :meth:`forward`, and so are the others.
            context_ids: Likewise.
            target_ids: Likewise.
            mask_index: Likewise.
            image: Likewise.

        Returns:
            Hidden tokens (B, M, levels * D) and visible ones (B, K, levels * D).

        Raises:
            InvalidInputError: This predictor has no projection for visible tokens.
        """
        if not self.config.return_all_tokens:
            raise InvalidInputError('this predictor predicts hidden tokens only.')
        x = self._transform(context, context_ids, target_ids, mask_index, image)
        visible = context.shape[1]
        return self.predictor_proj(x[:, visible:]), self.predictor_proj_context(x[:, :visible])

    def _transform(
        self,
        context: Tensor,
        context_ids: Tensor,
        target_ids: Tensor,
        mask_index: int,
        image: bool,
    ) -> Tensor:
        """Return the visible and then the hidden tokens, (B, K + M, width), normalised."""
        visible: Tensor = self.predictor_embed(context)
        hidden = self.mask_tokens[mask_index % len(self.mask_tokens)]
        x = torch.cat((visible, hidden.expand(*target_ids.shape, -1)), dim=1)
        if self.config.version == '2.1':
            x = x + (self.img_mod_embed if image else self.video_mod_embed)
        # Attention does not ask for an order, so context and targets need not be sorted by id.
        ids = torch.cat((context_ids, target_ids), dim=1)
        table = self._table(x, int(ids.max()))[:, ids]
        x = x.to(table.dtype)  # in half precision, too, what the blocks add up stays in float32
        for block in self.predictor_blocks:
            x = block(x, table)
        out: Tensor = self.predictor_norm(x)
        return out

    def _table(self, x: Tensor, largest_id: int) -> Tensor:
        # The official code decodes ids on a square grid of this side whatever the width is.
        side = self.config.grid[0]
        usual = self.config.num_frames // self.config.tubelet_size
        return cached_table(
            interpolated_positions if self.config.interpolate_rope else grid_positions,
            (max(usual, largest_id // (side * side) + 1), side, side),
            self.config.width // self.config.num_heads,
            table_dtype(x),
            x.device,
            self.config.interleaved,
        )


def _input_projection(config: MaskedPredictorConfig) -> nn.Module:
    """Return the layer, or for several levels of the encoder the two, that embed its tokens."""
    embed_dim, width = config.embed_dim, config.predictor_embed_dim
    if config.n_output_distillation == 1:
        return Linear(embed_dim, width)
    return nn.Sequential(
        Linear(config.n_output_distillation * embed_dim, embed_dim),
        nn.GELU(),
        Linear(embed_dim, width),
    )
