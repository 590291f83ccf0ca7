# SPDX-License-Identifier: Apache-2.0
"""The convolutional stem: as many tokens as patches give; it goes through every file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vjepa_planner.backends.torch_backend import TorchBackend
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import Encoder, load_networks, save_model_directory
from vjepa_planner.networks.config import EncoderConfig
from vjepa_planner.networks.untrained import make_untrained_networks

SIZES = {'img_size': 32, 'patch_size': 8, 'embed_dim': 64, 'depth': 2, 'num_heads': 2}
CONFIG = {
    'encoder': {**SIZES, 'stem': 'convolutional'},
    'ac_predictor': {**SIZES, 'predictor_embed_dim': 32, 'num_heads': 1},
}


@pytest.mark.parametrize('clip', [(2, 3, 2, 32, 32), (1, 3, 4, 32, 48)])
def test_it_gives_as_many_tokens_as_patches_do(clip: tuple[int, ...]) -> None:
    shapes = [
        Encoder(EncoderConfig(**{**SIZES, 'img_size': (32, 32), 'stem': stem}))(
            torch.rand(clip)
        ).shape
        for stem in ('patch', 'convolutional')
    ]
    assert shapes[0] == shapes[1]


def test_tokens_lie_where_their_pixels_are() -> None:
    encoder = make_untrained_networks(CONFIG, seed=0).encoder
    clip = torch.zeros(1, 3, 2, 32, 32)
    before = encoder.patch_embed(clip).view(4, 4, -1)
    clip[..., 8:16, 24:32] = 5.0  # row 1, column 3
    change = (encoder.patch_embed(clip).view(4, 4, -1) - before).abs().mean(-1)
    assert divmod(int(change.argmax()), 4) == (1, 3)


def test_a_saved_model_has_the_same_features(tmp_path: Path) -> None:
    networks = make_untrained_networks(CONFIG, seed=0)
    save_model_directory(tmp_path / 'model', networks.encoder, networks.predictor, {})
    loaded = load_networks(tmp_path / 'model').encoder
    assert loaded.config.stem == 'convolutional'
    clip = torch.rand(1, 3, 2, 32, 32)
    torch.testing.assert_close(loaded(clip), networks.encoder(clip), rtol=0, atol=0)


def test_half_precision_is_near_and_exported_graphs_are_equal(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime')
    from vjepa_planner.backends.onnxruntime_backend import OnnxRuntimeBackend

    networks = make_untrained_networks(CONFIG, seed=0)
    save_model_directory(tmp_path / 'model', networks.encoder, networks.predictor, {})
    clips = np.random.default_rng(0).normal(size=(3, 3, 2, 32, 32)).astype(np.float32)
    exact = TorchBackend(networks).features(clips)
    graphs = OnnxRuntimeBackend.load(tmp_path / 'model', 'cpu', 'float32')
    np.testing.assert_allclose(graphs.features(clips), exact, atol=1e-4)
    half = TorchBackend.load(tmp_path / 'model', 'cpu', 'bfloat16').features(clips)
    assert np.abs(half - exact).mean() < 0.02


@pytest.mark.parametrize(
    'wrong',
    [
        {'stem': 'conv'},
        {'patch_size': 14, 'img_size': (28, 28)},
        {'embed_dim': 48, 'num_heads': 3},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    sizes = {**SIZES, 'img_size': (32, 32), 'patch_size': 16, 'stem': 'convolutional'}
    with pytest.raises(InvalidInputError, match='stem'):
        EncoderConfig(**{**sizes, **wrong})
