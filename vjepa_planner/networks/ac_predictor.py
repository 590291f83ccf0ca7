# SPDX-License-Identifier: Apache-2.0
"""The action-conditioned predictor of V-JEPA 2-AC.

Each time step is a group of tokens, ``[action, state, patches]``. A group attends to itself and
to every earlier group. The output of group t predicts the patches of step t + 1.

The predictor that jepa-wms trained with a corrected loss (``vjepa2_ac_droid``) has no state token,
everything else is equal.
"""

from __future__ import annotations

from functools import lru_cache
import math

import torch
from torch import nn, Tensor

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks.blocks import Block, initialise, Linear
from vjepa_planner.networks.config import ACPredictorConfig
from vjepa_planner.networks.rope import (
    cached_table,
    conditioned_positions,
    stateless_positions,
    table_dtype,
)


class ACPredictor(nn.Module):
    """Embeddings, actions and states up to now to the next embedding, at each step.

    Attributes:
        config: Sizes. Any number of steps is accepted, and any square image.
    """

    def __init__(self, config: ACPredictorConfig) -> None:
        """Make an untrained predictor with the published initial weights."""
        super().__init__()
        self.config = config
        width, condition = config.predictor_embed_dim, config.action_embed_dim
        self.predictor_embed = Linear(config.embed_dim, width)
        self.action_encoder = Linear(condition, width)
        if config.use_state:
            self.state_encoder = Linear(condition, width)
        self.predictor_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.predictor_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.predictor_proj = Linear(width, config.embed_dim)
        initialise(self, self.predictor_blocks)

    def forward(self, tokens: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Predict each next step, teacher-forced.

        Args:
            tokens: Layer-normalised embeddings of T steps, shape (B, T * N, D).
            actions: Action taken at each step, shape (B, T, 7).
            states: State at each step, shape (B, T, 7); without effect where the predictor has
                no state token.

        Returns:
            Shape (B, T * N, D): block t predicts step t + 1. Not layer-normalised.

        Raises:
            InvalidInputError: The shapes do not fit together.
        """
        steps = actions.shape[1]
        if steps == 0 or tokens.shape[1] % steps or actions.shape != states.shape:
            raise InvalidInputError(
                'tokens (batch, steps * patches, width), actions and states (batch, steps, '
                f'{self.config.action_embed_dim}) do not fit: {tuple(tokens.shape)}, '
                f'{tuple(actions.shape)}, {tuple(states.shape)}.'
            )
        batch, length, _ = tokens.shape
        embedded = self.predictor_embed(tokens).view(batch, steps, length // steps, -1)
        return self.predict_embedded(embedded, actions, states).flatten(1, 2)

    def predict_embedded(
        self, embedded: Tensor, actions: Tensor, states: Tensor, last_only: bool = False
    ) -> Tensor:
        """Predict from tokens that went through ``predictor_embed`` already.

        A planner embeds the tokens that all candidates share once, and passes an expanded view.

        Args:
            embedded: Shape (B, T, N, width).
            actions: Shape (B, T, 7).
            states: Shape (B, T, 7).
            last_only: Return the prediction of the last step only.

        Returns:
            Shape (B, T, N, D), or (B, 1, N, D).
        """
        steps, patches = embedded.shape[1:3]
        condition = [self.action_encoder(actions)]
        if self.config.use_state:
            condition.append(self.state_encoder(states))
        x = torch.cat((torch.stack(condition, dim=2), embedded), dim=2)  # (B, T, 2 + N, width)
        grouped = x.shape
        table = cached_table(
            conditioned_positions if self.config.use_state else stateless_positions,
            (steps, *self._grid_of(patches)),
            self.config.width // self.config.num_heads,
            table_dtype(x),
            x.device,
        )
        # In half precision, too, what the blocks add up stays in float32.
        x = x.flatten(1, 2).to(table.dtype)
        # One step attends to all of itself; without a mask the fast attention kernels apply.
        mask = None if steps == 1 else frame_causal_mask(steps, grouped[2], x.device)
        for block in self.predictor_blocks:
            x = block(x, table, mask)
        x = x.view(grouped)[:, -1 if last_only else 0 :, len(condition) :]
        predicted: Tensor = self.predictor_proj(self.predictor_norm(x))
        return predicted

    def _grid_of(self, patches: int) -> tuple[int, int]:
        height, width = self.config.grid
        if patches == height * width:
            return height, width
        side = math.isqrt(patches)
        if side * side != patches:
            raise InvalidInputError(
                f'{patches} patches per step are neither the {height} x {width} of this '
                'predictor nor a square.'
            )
        return side, side


@lru_cache(maxsize=16)
def frame_causal_mask(steps: int, tokens: int, device: torch.device) -> Tensor:
    """Return (L, L), L = steps * tokens: True where the key's step is not later."""
    with torch.inference_mode(False):
        step = torch.arange(steps, device=device).repeat_interleave(tokens)
        return step[:, None] >= step[None, :]
