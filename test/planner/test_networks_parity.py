# SPDX-License-Identifier: Apache-2.0
"""The networks compute what the official ones compute."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip('torch')
from torch.nn.functional import layer_norm  # noqa: E402

from vjepa_planner.networks import (  # noqa: E402
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    load_networks,
)
from vjepa_planner.networks.rope import rotate, rotation_table  # noqa: E402

TOLERANCE = 1e-5


@pytest.fixture(scope='module')
def tensors(official):
    return {name: torch.from_numpy(array) for name, array in official.arrays.items()}


@pytest.fixture(scope='module')
def ac_networks(official):
    return load_networks(official.ac_checkpoint)


@pytest.fixture(scope='module')
def pretraining_networks(official):
    return load_networks(official.pretraining_checkpoint)


def _largest_difference(a, b):
    return (a - b).abs().max().item()


@torch.no_grad()
def test_encoder_agrees_at_every_length_and_resolution(tensors, ac_networks, pretraining_networks):
    clips = [name for name in tensors if name.startswith('enc_in_')]
    assert len(clips) == 3
    for name in clips:
        expected = tensors[name.replace('in', 'out', 1)]
        for networks in (ac_networks, pretraining_networks):
            assert _largest_difference(networks.encoder(tensors[name]), expected) < TOLERANCE


@torch.no_grad()
def test_encoder_agrees_on_kept_tokens_only(tensors, ac_networks):
    tokens = ac_networks.encoder(tensors['enc_in_8f'], tensors['mask_keep'])
    assert _largest_difference(tokens, tensors['enc_out_8f_masked']) < TOLERANCE


@torch.no_grad()
def test_masked_predictor_agrees(tensors, pretraining_networks):
    predicted = pretraining_networks.predictor(
        tensors['enc_out_8f_masked'], tensors['mask_keep'], tensors['mask_target'], mask_index=0
    )
    assert _largest_difference(predicted, tensors['pretrain_pred_out']) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize('steps', [1, 2, 3])
def test_ac_predictor_agrees(tensors, ac_networks, steps):
    name = f'ac_T{steps}'
    inputs = [tensors[f'{name}_{what}'] for what in ('tokens', 'actions', 'states')]
    predicted = ac_networks.predictor(*inputs)
    assert _largest_difference(predicted, tensors[f'{name}_out']) < TOLERANCE


# Numbers below: vectors computed in float64 with the official code, from weights and inputs that
# are sines of the element's index, so that no file is needed.


def _sines(*shape, phase):
    count = int(np.prod(shape))
    return torch.sin(0.11 * torch.arange(count, dtype=torch.float64) + phase).view(shape)


@torch.no_grad()
def _fill_with_sines(network):
    network.double()
    for name, parameter in network.named_parameters():
        index = torch.arange(parameter.numel(), dtype=torch.float64)
        values = 0.05 * torch.sin(0.37 * index + len(name))
        offset = 1.0 if 'norm' in name and name.endswith('weight') else 0.0
        parameter.copy_(values.view(parameter.shape) + offset)
    return network


def _assert_equals_vector(out, *, total, absolute, first, last):
    assert out.sum().item() == pytest.approx(total, abs=1e-9)
    assert out.abs().sum().item() == pytest.approx(absolute, abs=1e-9)
    np.testing.assert_allclose(out[0, 0, :4], first, atol=1e-8)
    np.testing.assert_allclose(out[0, -1, -4:], last, atol=1e-8)


def test_rotation_pairs_neighbouring_lanes_with_the_frequencies_tiled():
    positions = torch.zeros(3, 3)
    positions[:, 0] = torch.arange(3)
    table = rotation_table(positions, 60, torch.float64)[..., :20]
    rows = rotate(_sines(3, 20, phase=0), table)
    np.testing.assert_allclose(
        rows[1, :6],
        [-0.185019028, 0.994645663, 0.561682368, 0.614681824, 0.471085051, 0.386450055],
        atol=1e-9,
    )
    np.testing.assert_allclose(rows[1, 18:], [-0.861021225, -0.912328598], atol=1e-9)
    np.testing.assert_allclose(
        rows[2, :4], [1.286744099, -1.365264497, -0.634480333, -1.11721464], atol=1e-8
    )


@torch.no_grad()
def test_encoder_agrees_in_float64():
    sizes = EncoderConfig(img_size=(32, 48), embed_dim=128, depth=2, num_heads=2)
    _assert_equals_vector(
        _fill_with_sines(Encoder(sizes))(_sines(1, 3, 4, 32, 48, phase=0.3)),
        total=-4.413924197988,
        absolute=1258.616095342239,
        first=[-1.27231078, -0.17835833, -1.49524016, 0.31443001],
        last=[0.04655462, 1.12829109, -0.79126082, -0.41400369],
    )


@torch.no_grad()
def test_ac_predictor_agrees_in_float64():
    sizes = ACPredictorConfig(
        img_size=(32, 32), embed_dim=96, predictor_embed_dim=128, depth=2, num_heads=2
    )
    tokens = layer_norm(_sines(1, 12, 96, phase=0.7), (96,))
    actions, states = 0.1 * _sines(1, 3, 7, phase=1.1), _sines(1, 3, 7, phase=1.9)
    _assert_equals_vector(
        _fill_with_sines(ACPredictor(sizes))(tokens, actions, states),
        total=0.265650385591,
        absolute=776.466440943163,
        first=[0.04807159, 0.24589885, -0.43151616, 0.7412418],
        last=[-0.29733238, 0.06318484, 0.17391174, -0.47074975],
    )
