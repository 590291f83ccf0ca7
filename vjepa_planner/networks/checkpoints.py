# SPDX-License-Identifier: Apache-2.0
"""Networks from files and to files.

Three layouts are read: a ``.pt`` file of Meta's training code, with an optional ``config.json``
beside it; a directory of Hugging Face's ``transformers``; and a model directory of this library.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import nn, Tensor

from vjepa_planner.errors import CheckpointError
from vjepa_planner.model_directory import CONFIG_FILE, ENCODER_FILE, FORMAT, PREDICTOR_FILE
from vjepa_planner.networks.ac_predictor import ACPredictor
from vjepa_planner.networks.config import (
    ACPredictorConfig,
    ConfigT,
    EncoderConfig,
    MaskedPredictorConfig,
)
from vjepa_planner.networks.encoder import Encoder
from vjepa_planner.networks.layouts import Layout, open_checkpoint
from vjepa_planner.networks.masked_predictor import MaskedPredictor
from vjepa_planner.networks.state_dicts import (
    encoder_sizes,
    GUESSED,
    is_action_conditioned,
    predictor_sizes,
)
from vjepa_planner.networks.weights import build_without_weights, check_fit, fill

_log = logging.getLogger(__name__)

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


def load_networks(
    path: str | Path,
    dtype: torch.dtype = torch.float32,
    *,
    encoder: str | Path | None = None,
    encoder_copy: str | None = None,
) -> Networks:
    """Read encoder and predictor from a checkpoint.

    Only what is needed is read, tensor by tensor and into its final number format: the memory
    needed is that of the networks.

    Args:
        path: A ``.pt`` file of Meta's layout, a directory of Hugging Face's V-JEPA 2, or a model
            directory of this library.
        dtype: Of the matrices, which are nearly all of it. The rest is of float32.
        encoder: Another checkpoint to take the encoder from, where ``path`` has a predictor only.
            jepa-wms' ``vjepa2_ac_droid`` is such a file: its predictor was trained on the entry
            ``encoder`` of Meta's ``vitg.pt``.
        encoder_copy: Entry of Meta's file to take the encoder from. If None, the first of
            ``ema_encoder``, ``target_encoder``, ``encoder``, and in the opposite order where the
            file has an AC predictor, which was trained on the last of them.

    Returns:
        The networks on the CPU in evaluation mode.

    Raises:
        CheckpointError: A file cannot be read or is damaged, or the weights do not fit the sizes.
    """
    layout = open_checkpoint(Path(path), encoder_copy if encoder is None else None)
    seen_with = layout if encoder is None else open_checkpoint(Path(encoder), encoder_copy)
    if not seen_with.encoder:
        raise CheckpointError(
            f'{seen_with.path} has a predictor but no encoder. Load it together with the '
            'checkpoint that has the encoder it was trained on, '
            'vjepa_planner.networks.load_networks(path, encoder=...), and write both with '
            'save_model_directory to a directory that can be used everywhere.'
        )
    eyes = _build_encoder(seen_with)
    predictor = _build_predictor(layout, eyes.config)  # before anything large is read
    config = {**layout.config, 'encoder': eyes.config.to_dict()}
    fill(eyes, seen_with.encoder, dtype)
    if predictor is None:
        return Networks(eyes, None, config)
    fill(predictor, layout.predictor, dtype)
    return Networks(eyes, predictor, config | _predictor_section(predictor))


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


def are_equal(first: Networks, second: Networks) -> bool:
    """Return whether two models have the same sizes, settings and weights."""
    configs = [{**networks.config, 'format': FORMAT} for networks in (first, second)]
    if configs[0] != configs[1]:
        return False
    pairs = zip(_weights(first), _weights(second), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _weights(networks: Networks) -> list[Tensor]:
    modules = [module for module in (networks.encoder, networks.predictor) if module is not None]
    return [tensor for module in modules for tensor in module.state_dict().values()]


def _build_encoder(layout: Layout) -> Encoder:
    try:
        sizes = _sizes(EncoderConfig, 'encoder', encoder_sizes(layout.encoder), layout)
        encoder = build_without_weights(Encoder, sizes)
        check_fit(encoder, layout.encoder, 'encoder')
    except CheckpointError as error:
        raise CheckpointError(f'{layout.path}: {error}') from error
    return encoder


def _build_predictor(
    layout: Layout, seen_with: EncoderConfig
) -> ACPredictor | MaskedPredictor | None:
    if not layout.predictor:
        return None
    try:
        predictor = _predictor_without_weights(layout)
        check_fit(predictor, layout.predictor, 'predictor')
        if predictor.config.embed_dim != seen_with.embed_dim:
            raise CheckpointError(
                f'the predictor takes embeddings of width {predictor.config.embed_dim}, but the '
                f'encoder gives {seen_with.embed_dim}: they do not belong together.'
            )
    except CheckpointError as error:
        # Nobody plans with the masked predictor of V-JEPA 2.1, so it must not cost the encoder.
        if seen_with.version != '2.1' or is_action_conditioned(layout.predictor):
            raise CheckpointError(f'{layout.path}: {error}') from error
        _log.warning('%s: the masked predictor is left out: %s', layout.path, error)
        return None
    return predictor


def _predictor_without_weights(layout: Layout) -> ACPredictor | MaskedPredictor:
    derived = predictor_sizes(layout.predictor)
    if is_action_conditioned(layout.predictor):
        sizes = _sizes(ACPredictorConfig, _AC, derived, layout)
        return build_without_weights(ACPredictor, sizes)
    masked_sizes = _sizes(MaskedPredictorConfig, _MASKED, derived, layout)
    return build_without_weights(MaskedPredictor, masked_sizes)


def _sizes(kind: type[ConfigT], section: str, derived: dict[str, Any], layout: Layout) -> ConfigT:
    """Combine what shapes tell with what ``config.json`` says, which must not contradict."""
    config = layout.config
    given = config.get(section, {})
    if not isinstance(given, dict):
        raise CheckpointError(
            f'{section} in {layout.config_path} must be a JSON object, got {given!r}.'
        )
    facts = {key: value for key, value in derived.items() if key not in GUESSED}
    wrong = [
        f'{key} is {given[key]} there and {value} in the weights'
        for key, value in facts.items()
        if given.get(key) is not None and not _same(given[key], value)
    ]
    if wrong:
        what = 'encoder' if kind is EncoderConfig else 'predictor'
        raise CheckpointError(
            f'the weights do not fit the {what} that {layout.config_path} describes: '
            f'{"; ".join(wrong)}. Correct that file, or remove it if it is of another model.'
        )
    common = {'img_size': config['img_size']} if 'img_size' in config else {}
    return kind.from_dict(
        {**derived, **common, **given, **facts},
        layer_norm_eps=config.get('layer_norm_eps', 1e-6),
    )


def _same(given: object, derived: object) -> bool:
    """Compare sizes; a ratio may differ as much as rounding a hidden width down can change it."""
    if isinstance(derived, float) and isinstance(given, int | float):
        return math.isclose(given, derived, rel_tol=0.02)
    return given == derived


def _predictor_section(predictor: ACPredictor | MaskedPredictor) -> dict[str, Any]:
    section = _AC if isinstance(predictor, ACPredictor) else _MASKED
    return {section: predictor.config.to_dict()}


def _write_safetensors(path: Path, module: nn.Module) -> None:
    tensors = {n: t.detach().cpu().contiguous() for n, t in module.state_dict().items()}
    safetensors.torch.save_file(tensors, path)
