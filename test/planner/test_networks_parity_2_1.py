# SPDX-License-Identifier: Apache-2.0
"""V-JEPA 2.1 and the predictor of jepa-wms compute what the official code computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from vjepa_planner.errors import InvalidInputError  # noqa: E402
from vjepa_planner.networks import load_networks  # noqa: E402

TOLERANCE = 1e-5
ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / 'test/fixtures'
# The depths of ViT-B and of ViT-G, whose levels are not at even distances.
OURS = [FIXTURES / 'networks_2_1_distilled', FIXTURES / 'networks_2_1_deep']
# An encoder alone, which lies beside some checkouts.
MORE = ROOT.parent / 'shared/fixtures/parity_2_1'


def _arrays(folder):
    with np.load(folder / 'parity.npz') as file:
        return {name: torch.from_numpy(array) for name, array in file.items()}


def _case(folder):
    return load_networks(folder / 'vjepa2_1_tiny_official_layout.pt'), _arrays(folder)


@pytest.fixture(scope='module', params=OURS, ids=lambda folder: folder.name)
def pair(request):
    return _case(request.param)


@pytest.fixture(
    scope='module', params=[f for f in (*OURS, MORE) if f.is_dir()], ids=lambda folder: folder.name
)
def case(request):
    return _case(request.param)


def _assert_close(ours, official):
    torch.testing.assert_close(ours, official, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_videos_and_images_agree_at_every_length_and_resolution(case):
    networks, arrays = case
    inputs = [name.removesuffix('_in') for name in arrays if name.endswith('_in')]
    assert any('video' in name for name in inputs)
    assert any('image' in name for name in inputs)
    for name in inputs:
        _assert_close(networks.encoder(arrays[f'{name}_in']), arrays[f'{name}_out'])


@torch.no_grad()
def test_the_four_levels_agree(case):
    networks, arrays = case
    names = [name.removesuffix('_hierarchical') for name in arrays if 'hierarchical' in name]
    assert names
    for name in names:
        levels = networks.encoder.hierarchical(arrays[f'{name}_in'])
        assert levels.shape[-1] == 4 * networks.encoder.config.embed_dim
        _assert_close(levels, arrays[f'{name}_hierarchical'])


@torch.no_grad()
def test_kept_tokens_agree(pair):
    networks, arrays = pair
    tokens = networks.encoder(arrays['video_6f_48x32_in'], arrays['keep'])
    _assert_close(tokens, arrays['video_6f_48x32_kept'])


@torch.no_grad()
@pytest.mark.parametrize('kind', ['video', 'image'])
def test_the_masked_predictor_agrees_on_hidden_and_visible_tokens(pair, kind):
    networks, arrays = pair
    names = ('context', 'context_ids', 'target_ids')
    inputs = [arrays[f'predict_{kind}_{name}'] for name in names]
    options = {'mask_index': int(arrays['mask_index']), 'image': kind == 'image'}
    targets, visible = networks.predictor.predict_all(*inputs, **options)
    _assert_close(targets, arrays[f'predict_{kind}_targets'])
    _assert_close(visible, arrays[f'predict_{kind}_visible'])
    assert torch.equal(networks.predictor(*inputs, **options), targets)


@pytest.fixture(scope='module')
def jepa_wms():
    folder = FIXTURES / 'networks_jepa_wms'
    networks = load_networks(
        folder / 'vjepa2_ac_droid.pth.tar',
        encoder=FIXTURES / 'networks/vjepa2_pretrain_tiny_official_layout.pt',
        encoder_copy='encoder',
    )
    return networks, _arrays(folder)


@torch.no_grad()
@pytest.mark.parametrize('steps', [1, 2, 4])
def test_the_predictor_without_state_token_agrees(jepa_wms, steps):
    networks, arrays = jepa_wms
    tokens, actions = arrays[f'ac_T{steps}_tokens'], arrays[f'ac_T{steps}_actions']
    for states in (torch.zeros_like(actions), torch.ones_like(actions)):  # no effect
        predicted = networks.predictor(tokens, actions, states)
        _assert_close(predicted, arrays[f'ac_T{steps}_out'])


def test_a_predictor_without_state_token_plans_once_it_is_saved_with_an_encoder(
    jepa_wms, tmp_path
):
    from vjepa_planner import load_world_model
    from vjepa_planner.networks import save_model_directory

    networks, _ = jepa_wms
    save_model_directory(tmp_path, networks.encoder, networks.predictor, {'name': 'droid'})
    model = load_world_model(tmp_path, device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    embedding, actions = model.encode(image)[0], np.full((1, 2, 7), 0.02)
    here, _ = model.rollout(embedding, np.zeros(7), actions)
    there, states = model.rollout(embedding, np.full(7, 0.3), actions)
    np.testing.assert_array_equal(here, there)
    assert states[0, 0, 0] == pytest.approx(0.32)  # states are integrated nevertheless


def test_levels_of_a_v_jepa_2_encoder_are_refused(jepa_wms):
    networks, _ = jepa_wms
    with pytest.raises(InvalidInputError, match=r'only V-JEPA 2\.1 encoders give several levels'):
        networks.encoder.hierarchical(torch.zeros(1, 3, 2, 32, 48))
