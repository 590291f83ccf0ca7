# SPDX-License-Identifier: Apache-2.0
"""Tensors by name: official names to ours, sizes from shapes, and strict loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
import re
from typing import Any, TypeVar

import torch
from torch import nn, Tensor

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.config import ConfigT

ModuleT = TypeVar('ModuleT', bound=nn.Module)

# Wrappers of the official training code, which appear inside names.
_WRAPPERS = ('module.', 'backbone.')
# In files, but without effect: position tables from before the rotary encoding, and the camera
# pose input that the released AC predictor has and never uses.
_IGNORED = ('pos_embed', 'predictor_pos_embed', 'extrinsics_encoder.')
_HEAD_DIM = 64
_HEAD_DIM_OF_WIDTH = {1280: 80}  # ViT-H
_MASKED_PREDICTOR_HEAD_DIM = 32
_MAX_NAMES_LISTED = 8


def unwrap_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under their plain names, without those that have no effect."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, '')
        if not name.startswith(_IGNORED):
            plain[name] = tensor
    return plain


def encoder_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Derive an encoder's sizes, as in ``config.json``, from its tensors.

    What shapes cannot tell takes the values of the released encoders: the image size, and heads
    of width 64 (80 for ViT-H).

    Raises:
        CheckpointError: There is no patch projection among them.
    """
    weight = tensors.get('patch_embed.proj.weight')
    if weight is None or weight.ndim != 5:
        raise CheckpointError(
            'no V-JEPA 2 encoder in this checkpoint: patch_embed.proj.weight of 5 dimensions is '
            f'missing. First names: {", ".join(list(tensors)[:_MAX_NAMES_LISTED])}.'
        )
    width, channels, tubelet, patch, _ = weight.shape
    return {
        'embed_dim': width,
        'in_chans': channels,
        'tubelet_size': tubelet,
        'patch_size': patch,
        'num_heads': _heads(width, _HEAD_DIM_OF_WIDTH.get(width, _HEAD_DIM)),
        **_block_sizes(tensors, 'blocks'),
    }


def predictor_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Derive a predictor's sizes, as in ``config.json``, from its tensors.

    Raises:
        CheckpointError: There is no predictor among them.
    """
    weight = tensors.get('predictor_embed.weight')
    if weight is None:
        raise CheckpointError(
            'no V-JEPA 2 predictor in this checkpoint: predictor_embed.weight is missing.'
        )
    width, embed_dim = weight.shape
    sizes = {
        'embed_dim': embed_dim,
        'predictor_embed_dim': width,
        **_block_sizes(tensors, 'predictor_blocks'),
    }
    if is_action_conditioned(tensors):
        action = tensors['action_encoder.weight'].shape[1]
        return {**sizes, 'num_heads': _heads(width, _HEAD_DIM), 'action_embed_dim': action}
    masks = sum(name.startswith('mask_tokens.') for name in tensors)
    heads = _heads(width, _MASKED_PREDICTOR_HEAD_DIM)
    return {**sizes, 'num_heads': heads, 'num_mask_tokens': masks}


def is_action_conditioned(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of an AC predictor."""
    return 'action_encoder.weight' in tensors


def load_strictly(module: ModuleT, tensors: Mapping[str, Tensor], what: str) -> ModuleT:
    """Copy tensors into a module, every one of them and nothing else.

    Args:
        module: May be on the meta device; its parameters are then created, uninitialised.
        tensors: By plain name.
        what: What to call it in the error.

    Returns:
        The module, in evaluation mode.

    Raises:
        CheckpointError: Names or shapes differ; the message lists them.
    """
    expected = module.state_dict()
    problems = [
        _listing('missing from the file', [n for n in expected if n not in tensors]),
        _listing('not part of the network', [n for n in tensors if n not in expected]),
        _listing(
            'of another shape',
            [
                f'{n}: file {tuple(tensors[n].shape)}, network {tuple(expected[n].shape)}'
                for n in expected
                if n in tensors and tensors[n].shape != expected[n].shape
            ],
        ),
    ]
    if any(problems):
        raise CheckpointError(
            f'the weights do not fit the {what}:\n'
            + '\n'.join(p for p in problems if p)
            + '\nThe sizes come from config.json beside the file or, without it, from the shapes '
            'of the tensors.'
        )
    if any(parameter.is_meta for parameter in module.parameters()):
        module.to_empty(device='cpu')
    module.load_state_dict(tensors)
    return module.eval()


def build_without_weights(network: Callable[[ConfigT], ModuleT], config: ConfigT) -> ModuleT:
    """Make a module whose parameters have shapes but no memory yet."""
    with torch.device('meta'):
        return network(config)


def _heads(width: int, head_dim: int) -> int:
    return max(1, width // head_dim)


def _block_sizes(tensors: Mapping[str, Tensor], blocks: str) -> dict[str, Any]:
    indices = [
        int(match[1]) for name in tensors if (match := re.match(rf'{blocks}\.(\d+)\.', name))
    ]
    weight = tensors.get(f'{blocks}.0.mlp.fc1.weight')
    if not indices or weight is None:
        raise CheckpointError(
            f'no transformer blocks in this checkpoint: {blocks}.0.mlp.fc1.weight is missing.'
        )
    hidden, width = weight.shape
    ratio = hidden / width
    while int(width * ratio) < hidden:  # the quotient was rounded down
        ratio = math.nextafter(ratio, math.inf)
    return {
        'depth': max(indices) + 1,
        'mlp_ratio': ratio,
        'qkv_bias': f'{blocks}.0.attn.qkv.bias' in tensors,
    }


def _listing(title: str, names: list[str]) -> str:
    if not names:
        return ''
    more = len(names) - _MAX_NAMES_LISTED
    lines = names[:_MAX_NAMES_LISTED] + ([f'... and {more} more'] if more > 0 else [])
    return f'  {len(names)} {title}:\n' + '\n'.join(f'    {line}' for line in lines)
