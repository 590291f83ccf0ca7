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

_STEMS = ('patch', 'convolutional')
_LEVELS = 4  # of the encoder that V-JEPA 2.1 normalises
_DEPTH_OF_VIT_G = 48
_OUTPUT_BLOCKS_OF_VIT_G = (11, 23, 37, 47)

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
    'use_extrinsics': False,
    'is_frame_causal': True,
    'is_causal': False,
    'use_mask_tokens': True,
    'chop_last_n_tokens': 0,
    'n_registers': 0,
    'has_cls_first': False,
}
# Likewise, options whose only value depends on the release.
_ONLY_VALUE_OF: dict[str, dict[str, object]] = {
    '2': {'img_temporal_dim_size': None, 'modality_embedding': False},
    '2.1': {'img_temporal_dim_size': 1, 'modality_embedding': True},
}
# Options that choose between equal computations, or concern training or unused tables only.
_IRRELEVANT = frozenset({
    'uniform_power', 'use_sdpa', 'wide_silu', 'use_activation_checkpointing', 'init_std',
    'zero_init_mask_tokens', 'use_SiLU', 'wide_SiLU', 'init_type', 'name', 'seed',
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
        if bad := {k: v for k, v in counts.items() if not isinstance(v, int) or v < 1}:
            raise InvalidInputError(f'sizes must be positive integers, got {bad}.')
        if not isinstance(self.layer_norm_eps, int | float) or not self.layer_norm_eps > 0:
            raise InvalidInputError(
                f'layer_norm_eps must be a positive number, got {self.layer_norm_eps!r}.'
            )
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
        implemented = _ONLY_VALUE | _ONLY_VALUE_OF.get(str(section.get('version', '2')), {})
        known: dict[str, Any] = {'layer_norm_eps': layer_norm_eps}
        for key, value in section.items():
            if key in names:
                known[key] = value
            elif key in implemented:
                _refuse_other_value(cls.__name__, key, value, implemented[key])
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
class _ReleasedTwice(NetworkConfig):
    """What changed from V-JEPA 2 to V-JEPA 2.1; the AC predictor was released for the first only.

    Attributes:
        version: ``'2'`` or ``'2.1'``, which turns both lanes of a pair by the same angle and has
            learned vectors for images and videos.
        interpolate_rope: Whether positions are spread over the 16 x 16 grid of 256 px images.
    """

    version: str = '2'
    interpolate_rope: bool = False

    def __post_init__(self) -> None:
        """Check the sizes and the version.

        Raises:
            InvalidInputError: They do not fit together.
        """
        super().__post_init__()
        if self.version not in _ONLY_VALUE_OF:
            raise InvalidInputError(f"version must be '2' or '2.1', got {self.version!r}.")
        if self.interpolate_rope and not self.interleaved:
            raise InvalidInputError('interpolate_rope is an option of version 2.1 only.')

    @property
    def interleaved(self) -> bool:
        """Whether both lanes of a pair turn by the same angle."""
        return self.version == '2.1'


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(_ReleasedTwice):
    """Sizes of an :class:`~vjepa_planner.networks.encoder.Encoder`; default ViT-L/16.

    Attributes:
        in_chans: Image channels.
        stem: How pixels become tokens: ``'patch'``, as published, or ``'convolutional'``; see
            :mod:`vjepa_planner.networks.stem`.
    """

    in_chans: int = 3
    stem: str = 'patch'

    def __post_init__(self) -> None:
        """Check the sizes, the depth and the stem.

        Raises:
            InvalidInputError: They do not fit together.
        """
        super().__post_init__()
        if self.version == '2.1' and self.depth < _LEVELS:
            raise InvalidInputError(f'version 2.1 needs {_LEVELS} blocks, got {self.depth}.')
        if self.stem not in _STEMS:
            raise InvalidInputError(f'stem must be {" or ".join(_STEMS)}, got {self.stem!r}.')
        if self.stem == _STEMS[1] and (
            self.version != '2'
            or self.patch_size & (self.patch_size - 1)
            or self.embed_dim % (8 * self.patch_size // 2)
        ):
            raise InvalidInputError(
                'a convolutional stem needs version 2, patches of a power of two, and a width '
                f'that is a multiple of 4 patch sizes; got version {self.version}, patches of '
                f'{self.patch_size} px and width {self.embed_dim}.'
            )

    @property
    def output_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks whose output V-JEPA 2.1 normalises: four, the last one among them.

        Every quarter of the depth, except for ViT-G, whose third is where it was published.
        """
        if self.depth == _DEPTH_OF_VIT_G:
            return _OUTPUT_BLOCKS_OF_VIT_G
        return tuple((level + 1) * self.depth // _LEVELS - 1 for level in range(_LEVELS))


@dataclass(frozen=True, kw_only=True)
class ACPredictorConfig(NetworkConfig):
    """Sizes of an :class:`~vjepa_planner.networks.ac_predictor.ACPredictor`; default: released.

    Attributes:
        predictor_embed_dim: Width of the blocks; ``embed_dim`` is the encoder's.
        action_embed_dim: Numbers in an action and in a state.
        use_state: Whether there is a token for the state beside the one for the action.
    """

    embed_dim: int = 1408
    predictor_embed_dim: int = 1024
    action_embed_dim: int = 7
    use_state: bool = True

    @property
    def width(self) -> int:
        """Width of the blocks."""
        return self.predictor_embed_dim


@dataclass(frozen=True, kw_only=True)
class MaskedPredictorConfig(_ReleasedTwice):
    """Sizes of a :class:`~vjepa_planner.networks.masked_predictor.MaskedPredictor`.

    Attributes:
        predictor_embed_dim: Width of the blocks; ``embed_dim`` is the encoder's.
        num_mask_tokens: Number of learned tokens that stand for what is to be predicted.
        n_output_distillation: Levels of the encoder that it reads and predicts.
        out_embed_dim: Width of each level that it predicts; ``embed_dim`` if None.
        return_all_tokens: Whether it has a projection for the visible tokens, too.
    """

    predictor_embed_dim: int = 384
    depth: int = 12
    num_heads: int = 12
    num_mask_tokens: int = 10
    n_output_distillation: int = 1
    out_embed_dim: int | None = None
    return_all_tokens: bool = False

    @property
    def width(self) -> int:
        """Width of the blocks."""
        return self.predictor_embed_dim

    @property
    def output_width(self) -> int:
        """Numbers predicted per token."""
        return self.n_output_distillation * (self.out_embed_dim or self.embed_dim)


def _refuse_other_value(owner: str, key: str, value: object, implemented: object) -> None:
    if value is None or value == implemented:
        return
    raise CheckpointError(
        f'{owner}: {key} = {value!r} is not supported, only {implemented!r} is: it would change '
        'what the network computes.'
    )
