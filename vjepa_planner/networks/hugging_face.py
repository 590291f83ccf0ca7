# SPDX-License-Identifier: Apache-2.0
"""V-JEPA 2 directories of Hugging Face's ``transformers``: their names and sizes in ours.

They hold an encoder and the masked predictor. Their encoders were converted from the entry
``encoder`` of Meta's files, while Meta's own hub now takes the moving average of it.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
import logging
from pathlib import Path
import re
from typing import Any

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.stored_tensors import Concatenated, Row, StoredTensor
from vjepa_planner.networks.tensor_files import open_safetensors_file

_log = logging.getLogger(__name__)

MODEL_TYPE = 'vjepa2'
_WEIGHTS_FILE = 'model.safetensors'
_INDEX_FILE = 'model.safetensors.index.json'
# The base model inside a classifier, and what the classifier has besides.
_BASE_PREFIX = 'vjepa2.'
_HEAD_PREFIXES = ('pooler.', 'classifier.')

# Theirs -> ours, within the encoder or the predictor. The second spelling is that of an earlier
# converter.
_NAMES = [
    (r'^embeddings\.patch_embeddings\.', 'patch_embed.'),
    (r'^embeddings\.predictor_embeddings\.', 'predictor_embed.'),
    (r'^layer\.(\d+)\.attention\.(attention\.)?', r'{blocks}.\1.attn.'),
    (r'^layer\.', '{blocks}.'),
    (r'^layernorm\.', '{norm}.'),
    (r'^proj\.', 'predictor_proj.'),
]
_ENCODER = {'blocks': 'blocks', 'norm': 'norm'}
_PREDICTOR = {'blocks': 'predictor_blocks', 'norm': 'predictor_norm'}
_QUERY_KEY_VALUE = re.compile(r'^(.*\.attn\.)(query|key|value)(\.\w+)$')
_MASK_TOKENS = 'embeddings.mask_tokens'

# Their name of a size -> ours.
_COMMON_SIZES = {
    'crop_size': 'img_size',
    'patch_size': 'patch_size',
    'frames_per_clip': 'num_frames',
    'tubelet_size': 'tubelet_size',
    'hidden_size': 'embed_dim',
    'qkv_bias': 'qkv_bias',
    'layer_norm_eps': 'layer_norm_eps',
}
_ENCODER_SIZES = {
    'in_chans': 'in_chans',
    'num_attention_heads': 'num_heads',
    'num_hidden_layers': 'depth',
    'mlp_ratio': 'mlp_ratio',
}
_PREDICTOR_SIZES = {
    'pred_hidden_size': 'predictor_embed_dim',
    'pred_num_attention_heads': 'num_heads',
    'pred_num_hidden_layers': 'depth',
    'pred_num_mask_tokens': 'num_mask_tokens',
    'pred_mlp_ratio': 'mlp_ratio',
}


def sizes_from_hugging_face(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what our ``config.json`` would say, from theirs.

    Args:
        config: Contents of their ``config.json``.
        path: The directory, for the error.

    Raises:
        CheckpointError: It is another model, or an option that would change the arithmetic.
    """
    if config['model_type'] != MODEL_TYPE:
        raise CheckpointError(
            f'{path} holds a Hugging Face model of type {config["model_type"]!r}, expected '
            f'{MODEL_TYPE!r}, as in facebook/vjepa2-vitl-fpc64-256.'
        )
    if config.get('hidden_act', 'gelu') != 'gelu':
        raise CheckpointError(
            f'{path}: hidden_act {config["hidden_act"]!r} is not supported, only gelu is.'
        )

    def renamed(names: Mapping[str, str]) -> dict[str, Any]:
        return {ours: config[theirs] for theirs, ours in names.items() if theirs in config}

    return {
        'encoder': renamed(_COMMON_SIZES | _ENCODER_SIZES),
        'pretrain_predictor': renamed(_COMMON_SIZES | _PREDICTOR_SIZES),
    }


def open_hugging_face_directory(
    path: Path,
) -> tuple[dict[str, StoredTensor], dict[str, StoredTensor]]:
    """Return the tensors of encoder and predictor under our names.

    The head of a classifier is left out, and the log says so.

    Args:
        path: With ``model.safetensors``, or several files and an index of them.

    Raises:
        CheckpointError: Files are missing or damaged.
    """
    encoder: dict[str, StoredTensor] = {}
    predictor: dict[str, StoredTensor] = {}
    head = []
    for name, tensor in _all_tensors(path).items():
        part, _, rest = name.removeprefix(_BASE_PREFIX).partition('.')
        if name.startswith(_HEAD_PREFIXES):
            head.append(name)
        elif part == 'predictor':
            predictor |= _renamed(rest, tensor, _PREDICTOR)
        else:  # whatever else is there is reported as unexpected
            encoder |= _renamed(rest if part == 'encoder' else name, tensor, _ENCODER)
    if head:
        _log.warning(
            '%s is a classifier: its %d weights of the head are not used.', path, len(head)
        )
    return _merged(encoder), _merged(predictor)


def _all_tensors(path: Path) -> dict[str, StoredTensor]:
    index = path / _INDEX_FILE
    if not index.is_file():
        return open_safetensors_file(path / _WEIGHTS_FILE)
    try:
        files: dict[str, str] = json.loads(index.read_text(encoding='utf-8'))['weight_map']
        names = sorted(set(files.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{index} does not say which file holds which weight: {error!r}. Download it again.'
        ) from error
    tensors: dict[str, StoredTensor] = {}
    for name in names:
        if not name or Path(name).name != name:
            raise CheckpointError(f'{index} points out of its directory: {name!r}.')
        tensors |= open_safetensors_file(path / name)
    return tensors


def _renamed(name: str, tensor: StoredTensor, words: Mapping[str, str]) -> dict[str, StoredTensor]:
    """Return one of their tensors as ours, still with query, key and value apart."""
    if name == _MASK_TOKENS and tensor.shape:
        return {f'mask_tokens.{index}': Row(tensor, index) for index in range(tensor.shape[0])}
    for pattern, replacement in _NAMES:
        renamed, found = re.subn(pattern, replacement.format(**words), name)
        if found:
            return {renamed: tensor}
    return {name: tensor}


def _merged(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Join each query, key and value, in this order, as the official layout has them."""
    merged: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        match = _QUERY_KEY_VALUE.match(name)
        if match is None:
            merged[name] = tensor
            continue
        attention, _, kind = match.groups()
        parts = [tensors.get(f'{attention}{part}{kind}') for part in ('query', 'key', 'value')]
        found = [part for part in parts if part is not None and part.shape]
        if len({(part.shape, part.dtype) for part in found}) == 1 and len(found) == len(parts):
            merged[f'{attention}qkv{kind}'] = Concatenated(found)
        else:  # to be reported under the name that it has
            merged[name] = tensor
    return merged
