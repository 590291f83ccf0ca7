# SPDX-License-Identifier: Apache-2.0
"""Transformer blocks, shared by the encoder and both predictors.

Names of submodules are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vjepa_planner.networks.config import NetworkConfig
from vjepa_planner.networks.rope import rotate

_INIT_STD = 0.02


class Linear(nn.Linear):
    """A linear layer that computes in the precision of its weights, whatever comes in.

    With weights of float32 it is an ordinary one. With weights of half precision (bfloat16,
    float16) its input is cast down and the rest of the network stays in float32.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in the base class
        """Return shape (..., out_features), of the dtype of the weights."""
        return super().forward(input.to(self.weight.dtype))


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make the projections; see :class:`Block` for the weights' initial values."""
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = Linear(config.width, 3 * config.width, bias=config.qkv_bias)
        self.proj = Linear(config.width, config.width)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: Tokens, shape (B, N, width).
            table: Rotation table, shape (2, N, head_dim), or (2, B, N, head_dim) where the
                samples of a batch hold tokens of different positions.
            mask: True where a query (row) may attend to a key (column), shape (N, N).

        Returns:
            Shape (B, N, width).
        """
        qkv = self.qkv(x).view(*x.shape[:2], 3, self.num_heads, -1)  # (B, N, 3, heads, head_dim)
        value = qkv[:, :, 2]
        # Query and key turn together; bfloat16 comes back as float32 from the table.
        query_key = rotate(qkv[:, :, :2], table[..., None, None, :]).to(value.dtype)
        query, key = query_key.unbind(2)
        out = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
        )
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make the layers."""
        super().__init__()
        hidden = int(config.width * config.mlp_ratio)
        self.fc1 = Linear(config.width, hidden)
        self.fc2 = Linear(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return shape (..., width) for shape (..., width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make the parts."""
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return shape (B, N, width); arguments as in :meth:`Attention.forward`."""
        x = x + self.attn(self.norm1(x), table, mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def set_matrix_dtype(network: nn.Module, dtype: torch.dtype) -> None:
    """Store the matrices of a network, which are nearly all of it, in another dtype.

    They compute in that dtype then; patches, norms, rotary positions and what the blocks add up
    stay in float32.
    """
    for module in network.modules():
        if isinstance(module, Linear):
            module.to(dtype)


def matrix_parameters(network: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that :func:`set_matrix_dtype` stores in another dtype."""
    return frozenset(
        f'{prefix}.{name}'
        for prefix, module in network.named_modules()
        if isinstance(module, Linear)
        for name, _ in module.named_parameters(recurse=False)
    )


def initialise(network: nn.Module, blocks: Iterable[nn.Module]) -> None:
    """Set initial weights as published for V-JEPA 2.

    Truncated normal of standard deviation 0.02, no biases, and the layers that write into the
    residual stream scaled down with depth.

    Args:
        network: Everything in it is set.
        blocks: Its blocks, the first one first.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.trunc_normal_(module.weight, std=_INIT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for depth, block in enumerate(blocks, start=1):
            assert isinstance(block, Block)
            block.attn.proj.weight.div_(math.sqrt(2.0 * depth))
            block.mlp.fc2.weight.div_(math.sqrt(2.0 * depth))
