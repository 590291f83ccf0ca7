# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of networks."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest

torch = pytest.importorskip('torch')

from vjepa_planner.errors import CheckpointError  # noqa: E402
from vjepa_planner.networks import (  # noqa: E402
    ACPredictor,
    load_networks,
    MaskedPredictor,
    save_model_directory,
)


def _save(path, content, config=None):
    torch.save(content, path)
    if config is not None:
        (path.parent / 'config.json').write_text(json.dumps(config))
    return path


@pytest.fixture
def content(official):
    return torch.load(official.ac_checkpoint, weights_only=True)


@pytest.fixture
def config(official):
    return json.loads((official.folder / 'config.json').read_text())


def test_official_files_give_both_networks_in_evaluation_mode(official):
    encoder, predictor = load_networks(official.ac_checkpoint)[:2]
    assert isinstance(predictor, ACPredictor)
    assert not encoder.training
    assert not predictor.training
    assert isinstance(load_networks(official.pretraining_checkpoint).predictor, MaskedPredictor)


def test_a_file_with_an_encoder_only_has_no_predictor(content, config, tmp_path):
    path = _save(tmp_path / 'encoder.pt', {'encoder': content['encoder']}, config)
    assert load_networks(path).predictor is None


def test_the_encoder_is_preferred_to_its_moving_average(content, config, tmp_path):
    content['target_encoder'] = {k: torch.zeros_like(v) for k, v in content['encoder'].items()}
    path = _save(tmp_path / 'ac.pt', content, config)
    assert load_networks(path).encoder.patch_embed.proj.weight.any()
    del content['encoder']
    assert not load_networks(_save(path, content)).encoder.patch_embed.proj.weight.any()


def test_position_tables_of_old_files_are_ignored(content, config, tmp_path):
    content['encoder']['module.backbone.pos_embed'] = torch.zeros(1, 4, 8)
    load_networks(_save(tmp_path / 'old.pt', content, config))


def test_sizes_come_from_the_tensors_where_there_is_no_config(tmp_path):
    from vjepa_planner.networks import ACPredictorConfig, Encoder, EncoderConfig

    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(embed_dim=128, depth=1, num_heads=2, mlp_ratio=48 / 11))
    sizes = ACPredictorConfig(embed_dim=128, predictor_embed_dim=192, depth=2, num_heads=3)
    predictor = ACPredictor(sizes)
    content = {
        'encoder': {f'module.{k}': v for k, v in encoder.state_dict().items()},
        'predictor': {f'module.{k}': v for k, v in predictor.state_dict().items()},
    }
    networks = load_networks(_save(tmp_path / 'vjepa2-ac.pt', content))
    assert networks.predictor.config == sizes
    derived = networks.encoder.config
    assert (derived.num_heads, derived.depth, derived.grid) == (2, 1, (16, 16))
    large = load_networks(_save(tmp_path / 'vitg-384.pt', content))
    assert large.encoder.config.img_size == (384, 384)


def test_options_of_the_config_that_do_not_matter_are_tolerated(content, config, tmp_path):
    config['encoder'].update(use_sdpa=False, uniform_power=True, wide_silu=False, something=1)
    load_networks(_save(tmp_path / 'ac.pt', content, config))


def test_options_that_would_change_the_arithmetic_are_refused(content, config, tmp_path):
    config['encoder']['use_silu'] = True
    with pytest.raises(CheckpointError, match=r'use_silu = True is not supported, only False'):
        load_networks(_save(tmp_path / 'ac.pt', content, config))


def test_the_epsilon_of_the_config_is_used(content, config, tmp_path):
    config['layer_norm_eps'] = 1e-3
    networks = load_networks(_save(tmp_path / 'ac.pt', content, config))
    assert networks.encoder.norm.eps == 1e-3
    assert networks.predictor.predictor_norm.eps == 1e-3


def test_missing_unexpected_and_misshaped_weights_are_listed(content, config, tmp_path):
    encoder = content['encoder']
    del encoder['module.backbone.norm.bias']
    encoder['module.backbone.extra'] = torch.zeros(3)
    encoder['module.backbone.blocks.0.norm1.bias'] = torch.zeros(5)
    with pytest.raises(CheckpointError) as caught:
        load_networks(_save(tmp_path / 'broken.pt', content, config))
    message = str(caught.value)
    assert 'broken.pt' in message
    assert '1 missing from the file:\n    norm.bias' in message
    assert '1 not part of the network:\n    extra' in message
    assert 'blocks.0.norm1.bias: file (5,), network' in message


def test_a_config_of_another_network_is_refused(content, config, tmp_path):
    config['ac_predictor']['depth'] += 1
    with pytest.raises(CheckpointError, match=r'do not fit the predictor'):
        load_networks(_save(tmp_path / 'ac.pt', content, config))


class _Hostile:
    def __reduce__(self):
        return print, ('this code must not run',)


def test_files_that_are_no_checkpoints_are_refused_in_words(tmp_path, capsys):
    hostile = tmp_path / 'hostile.pt'
    hostile.write_bytes(pickle.dumps(_Hostile(), protocol=2))
    text = tmp_path / 'text.pt'
    text.write_text('not a checkpoint')
    empty = tmp_path / 'empty.pt'
    empty.touch()
    other = _save(tmp_path / 'other.pt', {'state_dict': {}, 'step': 3})
    for path in (hostile, text, empty, other, tmp_path / 'absent.pt', tmp_path):
        with pytest.raises(CheckpointError, match=path.name):
            load_networks(path)
    assert capsys.readouterr().out == ''


def test_a_truncated_file_is_refused(official, tmp_path):
    path = tmp_path / 'half.pt'
    path.write_bytes(official.ac_checkpoint.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r'half.pt'):
        load_networks(path)


def test_a_broken_config_is_refused(official, tmp_path):
    path = shutil.copy(official.ac_checkpoint, tmp_path)
    for text in ('{', '[]'):
        (tmp_path / 'config.json').write_text(text)
        with pytest.raises(CheckpointError, match=r'config.json'):
            load_networks(path)


def test_a_model_directory_gives_back_what_was_saved(official, tmp_path):
    networks = load_networks(official.ac_checkpoint)
    extra = {'name': 'tiny', 'image_size': 64, 'planner': {'name': 'cem', 'num_samples': 8}}
    save_model_directory(tmp_path / 'tiny', networks.encoder, networks.predictor, extra)
    again = load_networks(tmp_path / 'tiny')
    assert again.encoder.config == networks.encoder.config
    assert again.predictor.config == networks.predictor.config
    assert again.config.items() >= extra.items()
    for saved, loaded in zip(networks[:2], again[:2], strict=True):
        for name, tensor in saved.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_model_directory_without_weights_is_refused(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    with pytest.raises(CheckpointError, match=r'encoder\.safetensors'):
        load_networks(tmp_path)
    (tmp_path / 'encoder.safetensors').write_bytes(b'\x00' * 64)
    with pytest.raises(CheckpointError, match=r'encoder\.safetensors'):
        load_networks(tmp_path)
