# SPDX-License-Identifier: Apache-2.0
"""The predictor of V-JEPA 2 pre-training: embeddings of hidden tokens from visible ones."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from vjepa_planner.networks.blocks import Block, initialise, Linear
from vjepa_planner.networks.config import MaskedPredictorConfig
from vjepa_planner.networks.rope import cached_table, grid_positions, table_dtype


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
        self.predictor_embed = Linear(config.embed_dim, width)
        self.mask_tokens = nn.ParameterList(
            nn.Parameter(torch.zeros(1, 1, width)) for _ in range(config.num_mask_tokens)
        )
        self.predictor_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.predictor_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.predictor_proj = Linear(width, config.embed_dim)
        initialise(self, self.predictor_blocks)

    def forward(
        self, context: Tensor, context_ids: Tensor, target_ids: Tensor, mask_index: int = 0
    ) -> Tensor:
        """Predict the hidden tokens.

        Args:
            context: Embeddings of the visible tokens, shape (B, K, D).
            context_ids: Their ids in the clip, shape (B, K).
            target_ids: Ids of the tokens to predict, shape (B, M).
            mask_index: Which mask token stands for them, modulo their number.

        Returns:
            Shape (B, M, D).
        """
        visible: Tensor = self.predictor_embed(context)
        hidden = self.mask_tokens[mask_index % len(self.mask_tokens)]
        x = torch.cat((visible, hidden.expand(*target_ids.shape, -1)), dim=1)
        # Attention does not ask for an order, so context and targets need not be sorted by id.
        ids = torch.cat((context_ids, target_ids), dim=1)
        table = self._table(x, int(ids.max()))[:, ids]
        for block in self.predictor_blocks:
            x = block(x, table)
        predicted: Tensor = self.predictor_proj(self.predictor_norm(x[:, context.shape[1] :]))
        return predicted

    def _table(self, x: Tensor, largest_id: int) -> Tensor:
        # The official code decodes ids on a square grid of this side whatever the width is.
        side = self.config.grid[0]
        usual = self.config.num_frames // self.config.tubelet_size
        return cached_table(
            grid_positions,
            (max(usual, largest_id // (side * side) + 1), side, side),
            self.config.width // self.config.num_heads,
            table_dtype(x),
            x.device,
        )
