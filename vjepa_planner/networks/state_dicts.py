# SPDX-License-Identifier: Apache-2.0
"""Tensors by name: official names to ours, and the sizes of a network from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
import math
import re
from typing import Any

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.stored_tensors import StoredTensor

# Wrappers of the official training code, which appear inside names.
_WRAPPERS = ('module.', 'backbone.')
# In files, but without effect: position tables from before the rotary encoding, and the camera
# pose input that the released AC predictor has and never uses.
_IGNORED = ('pos_embed', 'predictor_pos_embed', 'extrinsics_encoder.')
# What jepa-wms calls the state encoder of an AC predictor.
_RENAMED = {'proprio_encoder.': 'state_encoder.'}
_HEAD_DIM = 64
_HEAD_DIM_OF_WIDTH = {1280: 80}  # ViT-H
_MASKED_PREDICTOR_HEAD_DIM = 32
_IMAGE_SIZE_OF_2_1 = 384  # of all released V-JEPA 2.1 models
_MAX_NAMES_LISTED = 8

GUESSED = frozenset({'num_heads', 'img_size', 'interpolate_rope'})
"""Sizes that no shape tells; they are those of the released models."""


def unwrap_names(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the tensors under their plain names, without those that have no effect."""
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, '')
        for theirs, ours in _RENAMED.items():
            name = re.sub(f'^{theirs}', ours, name)
        if not name.startswith(_IGNORED):
            plain[name] = tensor
    return plain


def encoder_sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """Derive an encoder's sizes, as in ``config.json``, from its tensors.

    What shapes cannot tell takes the values of the released encoders: the image size, and heads
    of width 64 (80 for ViT-H).

    Raises:
        CheckpointError: There is no patch projection among them.
    """
    stem = _stem_sizes(tensors)
    width = stem['embed_dim']
    newer = any(name.startswith('norms_block.') for name in tensors)
    return {
        'version': '2.1' if newer else '2',
        **({'img_size': _IMAGE_SIZE_OF_2_1, 'interpolate_rope': True} if newer else {}),
        **stem,
        'num_heads': _heads(width, _HEAD_DIM_OF_WIDTH.get(width, _HEAD_DIM)),
        **_block_sizes(tensors, 'blocks'),
    }


def _stem_sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """Return what the weights between pixels and tokens tell."""
    weight = tensors.get('patch_embed.proj.weight')
    if weight is not None and len(weight.shape) == 5:
        width, channels, tubelet, patch, _ = weight.shape
        return {
            'embed_dim': width,
            'in_chans': channels,
            'tubelet_size': tubelet,
            'patch_size': patch,
        }
    convolutions = [
        tensor.shape
        for name, tensor in tensors.items()
        if name.startswith('patch_embed.layers.') and len(tensor.shape) == 4
    ]
    first = tensors.get('patch_embed.layers.0.weight')
    if first is None or len(convolutions) < 2:
        raise CheckpointError(
            'no V-JEPA 2 encoder in this checkpoint: patch_embed.proj.weight of 5 dimensions is '
            f'missing. First names: {", ".join(list(tensors)[:_MAX_NAMES_LISTED])}.'
        )
    return {
        'embed_dim': max(shape[0] for shape in convolutions),
        'tubelet_size': first.shape[1] // 3,  # frames of RGB
        'patch_size': 2 ** (len(convolutions) - 1),  # the last one does not halve
        'stem': 'convolutional',
    }


def predictor_sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """Derive a predictor's sizes, as in ``config.json``, from its tensors.

    Raises:
        CheckpointError: There is no predictor among them.
    """
    if is_action_conditioned(tensors):
        return _ac_sizes(tensors)
    return _masked_sizes(tensors)


def is_action_conditioned(tensors: Mapping[str, StoredTensor]) -> bool:
    """Return whether these are the tensors of an AC predictor."""
    return 'action_encoder.weight' in tensors


def _ac_sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    width, embed_dim = _matrix(tensors, 'predictor_embed.weight')
    return {
        'embed_dim': embed_dim,
        'predictor_embed_dim': width,
        'num_heads': _heads(width, _HEAD_DIM),
        'action_embed_dim': _matrix(tensors, 'action_encoder.weight')[1],
        'use_state': 'state_encoder.weight' in tensors,
        **_block_sizes(tensors, 'predictor_blocks'),
    }


def _masked_sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    deep = 'predictor_embed.2.weight' in tensors  # reads several levels of the encoder
    width, embed_dim = _matrix(tensors, f'predictor_embed{".2" if deep else ""}.weight')
    levels = _matrix(tensors, 'predictor_embed.0.weight')[1] // embed_dim if deep else 1
    newer = 'video_mod_embed' in tensors
    return {
        'version': '2.1' if newer else '2',
        **({'img_size': _IMAGE_SIZE_OF_2_1} if newer else {}),
        'embed_dim': embed_dim,
        'predictor_embed_dim': width,
        'n_output_distillation': levels,
        'out_embed_dim': _matrix(tensors, 'predictor_proj.weight')[0] // levels,
        'return_all_tokens': 'predictor_proj_context.weight' in tensors,
        'num_heads': _heads(width, _MASKED_PREDICTOR_HEAD_DIM),
        'num_mask_tokens': sum(name.startswith('mask_tokens.') for name in tensors),
        **_block_sizes(tensors, 'predictor_blocks'),
    }


def _matrix(tensors: Mapping[str, StoredTensor], name: str) -> tuple[int, int]:
    """Return the two sides of a matrix."""
    weight = tensors.get(name)
    if weight is None or len(weight.shape) != 2:
        raise CheckpointError(
            f'no V-JEPA 2 network that we know in this checkpoint: the matrix {name} is missing. '
            f'First names: {", ".join(list(tensors)[:_MAX_NAMES_LISTED])}.'
        )
    rows, columns = weight.shape
    return rows, columns


def _heads(width: int, head_dim: int) -> int:
    return max(1, width // head_dim)


def _block_sizes(tensors: Mapping[str, StoredTensor], blocks: str) -> dict[str, Any]:
    indices = {match[1] for name in tensors if (match := re.match(rf'{blocks}\.(\d+)\.', name))}
    hidden, width = _matrix(tensors, f'{blocks}.0.mlp.fc1.weight')
    ratio = hidden / width
    while int(width * ratio) < hidden:  # the quotient was rounded down
        ratio = math.nextafter(ratio, math.inf)
    return {
        'depth': len(indices),  # not the highest, which anybody can write into a file
        'mlp_ratio': ratio,
        'qkv_bias': f'{blocks}.0.attn.qkv.bias' in tensors,
    }
