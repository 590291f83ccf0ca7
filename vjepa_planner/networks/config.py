# SPDX-License-Identifier: Apache-2.0
"""Sizes of the networks, read from and written to ``config.json``.

The keys are the constructor arguments of the official code. Keys that cannot change the
arithmetic of inference are accepted and dropped; a key that would, with a value that these
networks do not implement, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
import logging
from typing import Any, TypeVar

from vjepa_planner.errors import CheckpointError, InvalidInputError

_log = logging.getLogger(__name__)

ConfigT = TypeVar('ConfigT', bound='NetworkConfig')

# Option -> the only value of it that is implemented.
_ONLY_VALUE: dict[str, object] = {
    'use_rope': True,
    'use_silu': False,
    'qk_scale': None,
    'out_layers': None,
    'drop_rate': 0.0,
    'attn_drop_rate': 0.0,
    'drop_path_rate': 0.0,
    'handle_nonsquare_inputs': True,
    'interpolate_rope': False,
    'img_temporal_dim_size': None,
    'use_extrinsics': False,
    'is_frame_causal': True,
    'use_mask_tokens': True,
    'return_all_tokens': False,
    'chop_last_n_tokens': 0,
}
# Options that choose between equal computations, or concern training or unused tables only.
_IRRELEVANT = frozenset({
    'uniform_power', 'use_sdpa', 'wide_silu', 'use_activation_checkpointing', 'init_std',
    'zero_init_mask_tokens', 'use_SiLU', 'wide_SiLU', 'name', 'seed',
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What encoder and predictors have in common.

    Attributes:
        img_size: Height and width of the images [px]. Encoders accept others too.
        patch_size: Side of a patch [px].
        num_frames: Frames of the clips it was trained on; nothing learned depends on it.
        tubelet_size: Frames per token.
        embed_dim: Width of the embeddings.
        depth: Number of blocks.
        num_heads: Attention heads of each block.
        mlp_ratio: Hidden width of the MLPs, in widths of the network.
        qkv_bias: Whether the query, key and value projection has a bias.
        layer_norm_eps: Epsilon of the affine layer norms.
    """

    img_size: tuple[int, int] = (256, 256)
    patch_size: int = 16
    num_frames: int = 64
    tubelet_size: int = 2
    embed_dim: int = 1024
    depth: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        """Check the sizes against each other.

        Raises:
            InvalidInputError: They do not fit together.
        """
        counts = {f.name: getattr(self, f.name) for f in fields(self) if f.type == 'int'}
        if bad := {name: value for name, value in counts.items() if value < 1}:
            raise InvalidInputError(f'sizes must be positive, got {bad}.')
        size = (self.img_size,) * 2 if isinstance(self.img_size, int) else tuple(self.img_size)
        object.__setattr__(self, 'img_size', size)
        if len(size) != 2 or any(side <= 0 or side % self.patch_size for side in size):
            raise InvalidInputError(
                'img_size must be one number or [height, width], multiples of patch_size '
                f'{self.patch_size}; got {self.img_size}.'
            )
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise InvalidInputError(
                f'the width {self.width} must split into {self.num_heads} heads of even width.'
            )

    @property
    def width(self) -> int:
        """Width of the blocks."""
        return self.embed_dim

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and per row of an image of ``img_size``."""
        return self.img_size[0] // self.patch_size, self.img_size[1] // self.patch_size

    @classmethod
    def from_dict(
        cls: type[ConfigT], section: Mapping[str, Any], layer_norm_eps: float = 1e-6
    ) -> ConfigT:
        """Read a section of ``config.json``.

        Args:
            section: Constructor arguments by name.
            layer_norm_eps: Used where the section does not give its own.

        Raises:
            CheckpointError: An option has a value that is not implemented, or sizes do not fit.
        """
        names = {f.name for f in fields(cls)}
        known: dict[str, Any] = {'layer_norm_eps': layer_norm_eps}
        for key, value in section.items():
            if key in names:
                known[key] = value
            elif key in _ONLY_VALUE:
                _refuse_other_value(cls.__name__, key, value)
            elif key not in _IRRELEVANT:
                _log.warning('%s: unknown option %r in config.json is ignored.', cls.__name__, key)
        if known.get('num_frames') == 1:
            raise CheckpointError(
                f'{cls.__name__}: num_frames 1 (an image network with 2-D patches) is not '
                'supported; only networks for clips of two or more frames are.'
            )
        try:
            return cls(**known)
        except (InvalidInputError, TypeError) as error:
            raise CheckpointError(f'{cls.__name__} in config.json: {error}') from error

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` reads."""
        return {**asdict(self), 'img_size': list(self.img_size)}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(NetworkConfig):
    """Sizes of an :class:`~vjepa_planner.networks.encoder.Encoder`; default ViT-L/16.

    Attributes:
        in_chans: Image channels.
    """

    in_chans: int = 3


@dataclass(frozen=True, kw_only=True)
class ACPredictorConfig(NetworkConfig):
    """Sizes of an :class:`~vjepa_planner.networks.ac_predictor.ACPredictor`; default: released.

    Attributes:
        predictor_embed_dim: Width of the blocks; ``embed_dim`` is the encoder's.
        action_embed_dim: Numbers in an action and in a state.
    """

    embed_dim: int = 1408
    predictor_embed_dim: int = 1024
    action_embed_dim: int = 7

    @property
    def width(self) -> int:
        """Width of the blocks."""
        return self.predictor_embed_dim


@dataclass(frozen=True, kw_only=True)
class MaskedPredictorConfig(NetworkConfig):
    """Sizes of a :class:`~vjepa_planner.networks.masked_predictor.MaskedPredictor`.

    Attributes:
        predictor_embed_dim: Width of the blocks; ``embed_dim`` is the encoder's.
        num_mask_tokens: Number of learned tokens that stand for what is to be predicted.
    """

    predictor_embed_dim: int = 384
    depth: int = 12
    num_heads: int = 12
    num_mask_tokens: int = 10

    @property
    def width(self) -> int:
        """Width of the blocks."""
        return self.predictor_embed_dim


def _refuse_other_value(owner: str, key: str, value: object) -> None:
    implemented = _ONLY_VALUE[key]
    if value is None or value == implemented:
        return
    raise CheckpointError(
        f'{owner}: {key} = {value!r} is not supported, only {implemented!r} is: it would change '
        'what the network computes.'
    )
