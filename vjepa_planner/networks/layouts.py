# SPDX-License-Identifier: Apache-2.0
"""The layouts of checkpoints: which tensors belong to which network, under our names.

Nothing is read here but names, shapes and ``config.json``.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from vjepa_planner.errors import CheckpointError
from vjepa_planner.model_directory import (
    CONFIG_FILE,
    ENCODER_FILE,
    PREDICTOR_FILE,
    read_config_file,
    read_model_config,
)
from vjepa_planner.networks.hugging_face import (
    open_hugging_face_directory,
    sizes_from_hugging_face,
)
from vjepa_planner.networks.state_dicts import is_action_conditioned, unwrap_names
from vjepa_planner.networks.stored_tensors import StoredTensor
from vjepa_planner.networks.tensor_files import open_pytorch_file, open_safetensors_file

# Copies of the encoder in Meta's files. The first one that is there is taken, as their newest hub
# does: the moving average, under the name that distilled V-JEPA 2.1 models (B and L) have for it,
# or all others. An AC predictor, however, was trained on `encoder`, which was frozen meanwhile.
_COPIES = ('ema_encoder', 'target_encoder', 'encoder')
_COPIES_UNDER_AC_PREDICTOR = ('encoder', 'target_encoder', 'ema_encoder')
_MAX_NAMES_LISTED = 8


class Layout(NamedTuple):
    """The tensors of a checkpoint under the names of our networks, not read yet.

    Attributes:
        path: The file or directory.
        encoder: Empty where there is none.
        predictor: Empty where there is none.
        config: Contents of ``config.json``, in our words.
        config_path: Where it is, or would be.
    """

    path: Path
    encoder: dict[str, StoredTensor]
    predictor: dict[str, StoredTensor]
    config: dict[str, Any]
    config_path: Path


def open_checkpoint(path: Path, encoder_copy: str | None = None) -> Layout:
    """Find out what a checkpoint holds.

    Args:
        path: A ``.pt`` file of Meta's layout or one of the two kinds of directories.
        encoder_copy: Entry of Meta's file to take the encoder from.

    Raises:
        CheckpointError: It is none of these, or damaged.
    """
    if path.suffix == '.safetensors':
        raise CheckpointError(f'{path} is a part of a model; give the directory that it is in.')
    if not path.is_dir():
        return _open_official(path, encoder_copy)
    if encoder_copy is not None:
        raise CheckpointError(f'{path} has one encoder only; encoder_copy is for .pt files.')
    config = read_model_config(path)
    if 'model_type' in config:
        sizes = sizes_from_hugging_face(config, path)
        return Layout(path, *open_hugging_face_directory(path), sizes, path / CONFIG_FILE)
    encoder = open_safetensors_file(path / ENCODER_FILE)
    predictor_file = path / PREDICTOR_FILE
    predictor = open_safetensors_file(predictor_file) if predictor_file.exists() else {}
    return Layout(path, encoder, predictor, config, path / CONFIG_FILE)


def _open_official(path: Path, encoder_copy: str | None) -> Layout:
    content = open_pytorch_file(path)
    predictor = unwrap_names(_tensors_of(path, content, 'predictor'))
    copies = _COPIES_UNDER_AC_PREDICTOR if is_action_conditioned(predictor) else _COPIES
    wanted = copies if encoder_copy is None else (encoder_copy,)
    key = next((k for k in wanted if isinstance(content.get(k), dict)), None)
    if key is None and (encoder_copy is not None or not predictor):
        raise CheckpointError(
            f'{path} has no entry {" or ".join(wanted)}, as the official V-JEPA 2 files do; it '
            f'has: {_listed(content)}.'
        )
    encoder = {} if key is None else unwrap_names(_tensors_of(path, content, key))
    config_path = path.parent / CONFIG_FILE
    config = read_config_file(config_path)
    if config is None or 'model_type' in config:  # of another model that lies there, too
        config = {'img_size': 384} if '384' in path.stem else {}  # as in vitg-384.pt
    return Layout(path, encoder, predictor, config, config_path)


def _tensors_of(path: Path, content: dict[str, Any], key: str) -> dict[str, StoredTensor]:
    entry = content.get(key) or {}
    if not isinstance(entry, dict):
        raise CheckpointError(f'{path}: {key} is a {type(entry).__name__}, expected tensors.')
    for name, value in entry.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise CheckpointError(
                f'{path}: {name} in {key} is a {type(value).__name__}, expected the name of a '
                'weight and a dense, not quantised tensor.'
            )
    return entry


def _listed(names: Collection[object]) -> str:
    more = len(names) - _MAX_NAMES_LISTED
    listed = [str(name) for name in islice(names, _MAX_NAMES_LISTED)]
    return ', '.join([*listed, *([f'{more} more'] if more > 0 else [])]) or 'nothing'
