# SPDX-License-Identifier: Apache-2.0
"""Sizes of the published models, by name.

Sources: the hub of facebookresearch/vjepa2, and the model configurations of facebookresearch/
jepa-wms for the AC predictor without state token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.networks.config import ACPredictorConfig, EncoderConfig, MaskedPredictorConfig

_LARGE = EncoderConfig()
_HUGE = EncoderConfig(embed_dim=1280, depth=32, num_heads=16)
_GIANT = EncoderConfig(embed_dim=1408, depth=40, num_heads=22, mlp_ratio=48 / 11)
_BASE = EncoderConfig(embed_dim=768, depth=12, num_heads=12)
_GIGANTIC = EncoderConfig(embed_dim=1664, depth=48, num_heads=26, mlp_ratio=64 / 13)
_SIZE = (384, 384)


class Architecture(NamedTuple):
    """Sizes of a published model.

    Attributes:
        encoder: Of the encoder.
        predictor: Of the predictor that is in the same file, or that it is used with.
    """

    encoder: EncoderConfig
    predictor: ACPredictorConfig | MaskedPredictorConfig


def _version_2(encoder: EncoderConfig) -> Architecture:
    masked = MaskedPredictorConfig(img_size=encoder.img_size, embed_dim=encoder.embed_dim)
    return Architecture(encoder, masked)


def _version_2_1(encoder: EncoderConfig, *, distilled: bool) -> Architecture:
    """Return a V-JEPA 2.1 model; those that were distilled predict one level of ViT-G."""
    encoder = replace(encoder, version='2.1', img_size=_SIZE, interpolate_rope=True)
    masked = MaskedPredictorConfig(
        version='2.1',
        img_size=_SIZE,
        embed_dim=encoder.embed_dim,
        depth=12 if distilled else 24,
        num_mask_tokens=8,
        n_output_distillation=1 if distilled else 4,
        out_embed_dim=_GIGANTIC.embed_dim if distilled else encoder.embed_dim,
        return_all_tokens=True,
    )
    return Architecture(encoder, masked)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({
    'vjepa2-vitl': _version_2(_LARGE),
    'vjepa2-vith': _version_2(_HUGE),
    'vjepa2-vitg': _version_2(_GIANT),
    'vjepa2-vitg-384': _version_2(replace(_GIANT, img_size=_SIZE)),
    'vjepa2-ac-vitg': Architecture(_GIANT, ACPredictorConfig()),
    'vjepa2-ac-droid': Architecture(_GIANT, ACPredictorConfig(use_state=False)),
    'vjepa2.1-vitb': _version_2_1(_BASE, distilled=True),
    'vjepa2.1-vitl': _version_2_1(_LARGE, distilled=True),
    'vjepa2.1-vitg': _version_2_1(_GIANT, distilled=False),
    'vjepa2.1-vitgigantic': _version_2_1(_GIGANTIC, distilled=False),
})  # fmt: skip
"""By their names in the catalogue; ``vjepa2-ac-droid`` with the encoder that it belongs to."""


def architecture(name: str) -> Architecture:
    """Return the sizes of a published model.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError('architecture', name, tuple(ARCHITECTURES))
    return ARCHITECTURES[name]
