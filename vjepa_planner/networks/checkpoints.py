# SPDX-License-Identifier: Apache-2.0
"""Networks from files and to files.

Two layouts are read: a ``.pt`` file of the official training code, with an optional
``config.json`` beside it, and a model directory of this library::

    config.json            sizes, image size, end-effector frame, recommended planner, ...
    encoder.safetensors
    predictor.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import pickle
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import nn, Tensor

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.ac_predictor import ACPredictor
from vjepa_planner.networks.config import (
    ACPredictorConfig,
    ConfigT,
    EncoderConfig,
    MaskedPredictorConfig,
)
from vjepa_planner.networks.encoder import Encoder
from vjepa_planner.networks.masked_predictor import MaskedPredictor
from vjepa_planner.networks.state_dicts import (
    build_without_weights,
    encoder_sizes,
    is_action_conditioned,
    load_strictly,
    predictor_sizes,
    unwrap_names,
)

FORMAT = 'vjepa_planner/1'
CONFIG_FILE = 'config.json'
ENCODER_FILE = 'encoder.safetensors'
PREDICTOR_FILE = 'predictor.safetensors'

# Which copy of the encoder is taken. The AC predictor was trained on `encoder`, which equals
# `target_encoder` in that file.
_ENCODER_KEYS = ('encoder', 'target_encoder')
_AC, _MASKED = 'ac_predictor', 'pretrain_predictor'


class Networks(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        encoder: Clip to embeddings.
        predictor: An AC predictor, a masked predictor, or None where the file has none.
        config: Contents of ``config.json``, with the sizes of both networks filled in.
    """

    encoder: Encoder
    predictor: ACPredictor | MaskedPredictor | None
    config: dict[str, Any]


def load_networks(path: str | Path) -> Networks:
    """Read encoder and predictor from a checkpoint.

    Args:
        path: A ``.pt`` file of the official layout, or a model directory of this library.

    Returns:
        The networks on the CPU in evaluation mode, with the precision of float32.

    Raises:
        CheckpointError: It cannot be read, or the weights do not fit the sizes.
    """
    path = Path(path)
    if path.is_dir():
        config = read_model_config(path)
        encoder = _read_safetensors(path / ENCODER_FILE)
        predictor_file = path / PREDICTOR_FILE
        predictor = _read_safetensors(predictor_file) if predictor_file.exists() else {}
    else:
        encoder, predictor = _read_official(path)
        large = {'img_size': 384} if '384' in path.stem else {}  # as in vitg-384.pt
        config = _read_config(path.parent / CONFIG_FILE) or large
    return _build(path, encoder, predictor, config)


def save_model_directory(
    path: str | Path,
    encoder: Encoder,
    predictor: ACPredictor | MaskedPredictor | None,
    extra: Mapping[str, Any],
) -> None:
    """Write a model directory, which :func:`load_networks` and ``load_world_model`` read.

    Args:
        path: The directory; made if need be, files in it are replaced.
        encoder: Its weights and sizes are saved.
        predictor: Likewise.
        extra: Further entries of ``config.json``: ``name``, ``image_size``, ``crop``,
            ``ee_frame``, ``planner``, ``training``, ...
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {'format': FORMAT, 'encoder': encoder.config.to_dict()}
    _write_safetensors(path / ENCODER_FILE, encoder)
    if predictor is not None:
        config.update(_predictor_section(predictor))
        _write_safetensors(path / PREDICTOR_FILE, predictor)
    text = json.dumps({**config, **extra}, indent=2)
    (path / CONFIG_FILE).write_text(text + '\n', encoding='utf-8')


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Return the contents of a model directory's ``config.json``.

    Raises:
        CheckpointError: There is none, or it is not a JSON object.
    """
    config = _read_config(Path(path) / CONFIG_FILE)
    if config is None:
        raise CheckpointError(
            f'{path} is no model directory: it has no {CONFIG_FILE}. Give the path of a .pt '
            'file, or of a directory that `vjepa train` wrote.'
        )
    return config


def _build(
    path: Path,
    encoder_tensors: dict[str, Tensor],
    predictor_tensors: dict[str, Tensor],
    config: dict[str, Any],
) -> Networks:
    try:
        encoder_config = _sizes(EncoderConfig, 'encoder', encoder_sizes(encoder_tensors), config)
        encoder = build_without_weights(Encoder, encoder_config)
        load_strictly(encoder, encoder_tensors, 'encoder')
        filled = {**config, 'encoder': encoder_config.to_dict()}
        if not predictor_tensors:
            return Networks(encoder, None, filled)
        predictor = _build_predictor(predictor_tensors, config)
        load_strictly(predictor, predictor_tensors, 'predictor')
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error
    return Networks(encoder, predictor, {**filled, **_predictor_section(predictor)})


def _build_predictor(
    tensors: dict[str, Tensor], config: dict[str, Any]
) -> ACPredictor | MaskedPredictor:
    derived = predictor_sizes(tensors)
    if is_action_conditioned(tensors):
        sizes = _sizes(ACPredictorConfig, _AC, derived, config)
        return build_without_weights(ACPredictor, sizes)
    masked_sizes = _sizes(MaskedPredictorConfig, _MASKED, derived, config)
    return build_without_weights(MaskedPredictor, masked_sizes)


def _sizes(
    kind: type[ConfigT], section: str, derived: dict[str, Any], config: dict[str, Any]
) -> ConfigT:
    common = {'img_size': config['img_size']} if 'img_size' in config else {}
    given = {**derived, **common, **config.get(section, {})}
    return kind.from_dict(given, layer_norm_eps=config.get('layer_norm_eps', 1e-6))


def _predictor_section(predictor: ACPredictor | MaskedPredictor) -> dict[str, Any]:
    section = _AC if isinstance(predictor, ACPredictor) else _MASKED
    return {section: predictor.config.to_dict()}


def _read_official(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f'no checkpoint at {path}. Give a .pt file or a model directory.')
    content = _torch_load(path)
    key = next((k for k in _ENCODER_KEYS if isinstance(content.get(k), dict)), None)
    if key is None:
        raise CheckpointError(
            f'{path} has no entry {" or ".join(_ENCODER_KEYS)}, as the official V-JEPA 2 files '
            f'do; it has: {", ".join(map(str, content))}.'
        )
    encoder = unwrap_names(content[key])
    if any(name.startswith('norms_block.') for name in encoder):
        raise CheckpointError(f'{path} holds a V-JEPA 2.1 encoder, which is not supported.')
    return encoder, unwrap_names(content.get('predictor') or {})


def _torch_load(path: Path) -> dict[str, Any]:
    options: dict[str, Any] = {'map_location': 'cpu', 'weights_only': True}
    try:
        try:
            # The AC file has 12 GB, of which 7 are optimiser state that nobody touches.
            content = torch.load(path, mmap=True, **options)
        except RuntimeError:  # the file format of torch before 1.6 cannot be mapped
            content = torch.load(path, mmap=False, **options)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} is no PyTorch checkpoint of plain tensors. Nothing else is read, because '
            'it could run code.'
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f'{path} cannot be read as a PyTorch checkpoint: {reason} Download it again if it '
            'is incomplete.'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, expected a dictionary.')
    return content


def _read_config(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise CheckpointError(f'{path} is not valid JSON: {error}.') from error
    if not isinstance(config, dict):
        raise CheckpointError(f'{path} must hold a JSON object, got {type(config).__name__}.')
    return config


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f'{path.parent} has no {path.name}.')
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f'{path} cannot be read: {error}.') from error


def _write_safetensors(path: Path, module: nn.Module) -> None:
    tensors = {n: t.detach().cpu().contiguous() for n, t in module.state_dict().items()}
    safetensors.torch.save_file(tensors, path)
