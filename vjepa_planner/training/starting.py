# SPDX-License-Identifier: Apache-2.0
"""The networks that a training starts from: new ones of any size, or those of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from vjepa_planner.catalog import entry_for_path
from vjepa_planner.networks import (
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    load_networks,
    MaskedPredictor,
    MaskedPredictorConfig,
)
from vjepa_planner.networks.architectures import architecture

_HEAD_DIM = 64
_INHERITED = ('crop', 'ee_frame', 'planner', 'licence', 'training')
# What the released V-JEPA 2-AC goes with, see WorldModelConfig.
_RELEASED = {'crop': 'squash', 'ee_frame': 'fr3_link8', 'planner': {'name': 'cem'}}

ModuleT = TypeVar('ModuleT', bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of new networks.

    Attributes:
        architecture: Name of a published one; None takes the numbers below, heads of 64.
        patch_size: Side of what becomes one token of the encoder [px].
        stem: How the encoder makes tokens of pixels.
        width: Of the encoder.
        depth: Of the encoder.
        predictor_width: Of the predictor.
        predictor_depth: Of the predictor.
    """

    architecture: str | None = None
    patch_size: int = 16
    stem: str = 'patch'
    width: int = 192
    depth: int = 6
    predictor_width: int = 128
    predictor_depth: int = 4

    def encoder(self, image_size: tuple[int, int], frames: int) -> EncoderConfig:
        """Return the sizes of an encoder.

        Args:
            image_size: Height and width [px].
            frames: Of the clips that it is trained on.

        Raises:
            UnknownNameError: There is no such architecture.
        """
        if self.architecture is not None:
            published = architecture(self.architecture).encoder
            return replace(published, img_size=image_size, num_frames=frames)
        return EncoderConfig(
            img_size=image_size,
            num_frames=frames,
            patch_size=self.patch_size,
            stem=self.stem,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=_heads(self.width),
        )

    def ac_predictor(self, encoder: EncoderConfig) -> ACPredictorConfig:
        """Return the sizes of an action-conditioned predictor for an encoder."""
        if self.architecture is not None:
            published = architecture(self.architecture).predictor
            if not isinstance(published, ACPredictorConfig):
                published = ACPredictorConfig()
            return replace(published, **_seen_with(encoder))
        return ACPredictorConfig(**_seen_with(encoder), **self._predictor())

    def masked_predictor(self, encoder: EncoderConfig) -> MaskedPredictorConfig:
        """Return the sizes of a masked predictor for an encoder."""
        if self.architecture is not None:
            return MaskedPredictorConfig(**_seen_with(encoder))
        return MaskedPredictorConfig(**_seen_with(encoder), **self._predictor())

    def _predictor(self) -> dict[str, Any]:
        return {
            'predictor_embed_dim': self.predictor_width,
            'depth': self.predictor_depth,
            'num_heads': _heads(self.predictor_width),
        }


@dataclass(frozen=True)
class Start:
    """Where a training starts from.

    Attributes:
        encoder: Untrained or loaded.
        predictor: Likewise.
        loaded: Whether the predictor is of the checkpoint.
        settings: What ``config.json`` of a model with them has to say.
    """

    encoder: Encoder
    predictor: ACPredictor | MaskedPredictor
    loaded: bool
    settings: Mapping[str, Any]


def start_encoder_training(
    sizes: Sizes,
    model: Path | None,
    image_size: tuple[int, int],
    frames: int,
    *,
    masked: bool,
    seed: int,
) -> Start:
    """Return encoder and predictor for training both.

    Args:
        sizes: Of what is not in the checkpoint.
        model: Checkpoint to start from; None starts from random weights.
        image_size: Height and width of the images [px], for which loaded networks are set up.
        frames: Of the clips.
        masked: Whether the predictor is a masked one, or action-conditioned.
        seed: Of new weights. The global random state is left as it is.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UnknownNameError: There is no such architecture.
        InvalidInputError: The sizes do not fit together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = None if model is None else load_networks(model)
        encoder = (
            Encoder(sizes.encoder(image_size, frames)) if networks is None else (networks.encoder)
        )
        encoder.config = replace(encoder.config, img_size=image_size, num_frames=frames)
        loaded = None if networks is None else networks.predictor
        if isinstance(loaded, MaskedPredictor if masked else ACPredictor):
            loaded.config = replace(loaded.config, img_size=image_size, num_frames=frames)
            predictor: ACPredictor | MaskedPredictor = loaded
        elif masked:
            predictor = MaskedPredictor(sizes.masked_predictor(encoder.config))
        else:
            predictor = ACPredictor(sizes.ac_predictor(encoder.config))
    settings = {} if model is None or networks is None else _settings(model, networks.config)
    return Start(_trainable(encoder), _trainable(predictor), predictor is loaded, settings)


def start_predictor_training(model: Path, sizes: Sizes, *, scratch: bool, seed: int) -> Start:
    """Return a frozen encoder and the predictor to train on it.

    Args:
        model: Checkpoint with the encoder.
        sizes: Of a new predictor.
        scratch: Whether to take a new one although the checkpoint has one.
        seed: Of its weights. The global random state is left as it is.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UnknownNameError: There is no such architecture.
    """
    networks = load_networks(model)
    settings = _RELEASED | _settings(model, networks.config)
    if isinstance(networks.predictor, ACPredictor) and not scratch:
        return Start(networks.encoder, _trainable(networks.predictor), True, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = ACPredictor(sizes.ac_predictor(networks.encoder.config))
    return Start(networks.encoder, predictor, False, settings)


def _settings(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says beside sizes, and if it says nothing, the catalogue."""
    entry = entry_for_path(path)
    known = {} if entry is None else {**entry.settings, 'licence': entry.licence}
    return known | {name: config[name] for name in _INHERITED if name in config}


def _seen_with(encoder: EncoderConfig) -> dict[str, Any]:
    """Return what a predictor's sizes take over from its encoder's."""
    names = ('img_size', 'patch_size', 'num_frames', 'tubelet_size', 'embed_dim')
    return {name: getattr(encoder, name) for name in names}


def _trainable(network: ModuleT) -> ModuleT:
    return network.train().requires_grad_(True)


def _heads(width: int) -> int:
    return max(1, width // _HEAD_DIM)
