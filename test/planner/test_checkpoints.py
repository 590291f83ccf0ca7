# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of networks."""

from __future__ import annotations

import json
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


def _copies_of(content):
    """Return the first number of the projection of each copy, told apart from now on."""
    found = {}
    for index, key in enumerate(('encoder', 'target_encoder', 'ema_encoder')):
        content[key] = {k: v + index for k, v in content['encoder'].items()}
        found[key] = content[key]['module.backbone.patch_embed.proj.bias'][0]
    return found


def _first_number(networks):
    return networks.encoder.patch_embed.proj.bias[0]


def test_an_ac_predictor_gets_the_encoder_that_it_was_trained_on(content, config, tmp_path):
    copies = _copies_of(content)
    for key in ('encoder', 'target_encoder', 'ema_encoder'):
        path = _save(tmp_path / 'ac.pt', content, config)
        assert _first_number(load_networks(path)) == copies[key]
        del content[key]


def test_otherwise_the_moving_average_is_taken_as_the_official_hub_does(official, tmp_path):
    content = torch.load(official.pretraining_checkpoint, weights_only=True)
    copies = _copies_of(content)
    shutil.copy(official.folder / 'config.json', tmp_path)
    for key in ('ema_encoder', 'target_encoder', 'encoder'):
        path = _save(tmp_path / 'pretrained.pt', content)
        assert _first_number(load_networks(path)) == copies[key]
        del content[key]


def test_the_copy_can_be_chosen(content, config, tmp_path):
    copies = _copies_of(content)
    path = _save(tmp_path / 'ac.pt', content, config)
    for key, first in copies.items():
        assert _first_number(load_networks(path, encoder_copy=key)) == first
    with pytest.raises(CheckpointError, match=r'no entry student.*encoder'):
        load_networks(path, encoder_copy='student')


def test_a_predictor_without_encoder_takes_one_from_another_file(official, content, tmp_path):
    path = _save(tmp_path / 'predictor.pt', {'predictor': content['predictor'], 'epoch': 3})
    with pytest.raises(CheckpointError, match=r'predictor\.pt has a predictor but no encoder'):
        load_networks(path)
    networks = load_networks(path, encoder=official.pretraining_checkpoint, encoder_copy='encoder')
    assert isinstance(networks.predictor, ACPredictor)
    assert isinstance(load_networks(official.pretraining_checkpoint).predictor, MaskedPredictor)
    name = 'module.backbone.norm.weight'
    saved = torch.load(official.pretraining_checkpoint, weights_only=True)['encoder'][name]
    assert torch.equal(networks.encoder.norm.weight, saved)


def test_networks_that_do_not_belong_together_are_refused(content, tmp_path):
    from vjepa_planner.networks import Encoder, EncoderConfig

    narrow = Encoder(EncoderConfig(embed_dim=8, depth=1, num_heads=1)).state_dict()
    path = _save(tmp_path / 'ac.pt', {**content, 'encoder': narrow})
    with pytest.raises(CheckpointError, match=r'width \d+, but the encoder gives 8:'):
        load_networks(path)


def test_an_unknown_masked_predictor_does_not_cost_a_version_2_1_encoder(tmp_path, caplog):
    from vjepa_planner.networks import Encoder, EncoderConfig

    sizes = EncoderConfig(embed_dim=32, depth=4, num_heads=1, version='2.1')
    encoder = Encoder(sizes).state_dict()
    content = {'ema_encoder': encoder, 'predictor': {'something.weight': torch.zeros(3, 3)}}
    networks = load_networks(_save(tmp_path / 'newer.pt', content))
    assert networks.predictor is None
    assert 'the masked predictor is left out' in caplog.text
    content['predictor']['action_encoder.weight'] = torch.zeros(3, 7)
    with pytest.raises(CheckpointError, match=r'predictor_embed\.weight is missing'):
        load_networks(_save(tmp_path / 'newer.pt', content))


def test_only_the_matrices_are_loaded_in_half_precision(official):
    networks = load_networks(official.ac_checkpoint, torch.bfloat16)
    exact = load_networks(official.ac_checkpoint)
    for half, single in zip(networks[:2], exact[:2], strict=True):
        for name, parameter in half.named_parameters():
            exact_part = 'norm' in name or name.startswith('patch_embed.')
            assert parameter.dtype == (torch.float32 if exact_part else torch.bfloat16), name
            assert torch.equal(parameter, single.get_parameter(name).to(parameter.dtype)), name


def test_weights_may_be_stored_in_half_precision(content, config, tmp_path):
    for dtype in (torch.float16, torch.bfloat16):
        content['encoder'] = {k: v.to(dtype) for k, v in content['encoder'].items()}
        networks = load_networks(_save(tmp_path / 'half.pt', content, config))
        stored = content['encoder']['module.backbone.blocks.0.mlp.fc1.weight']
        assert torch.equal(networks.encoder.blocks[0].mlp.fc1.weight, stored.float())


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


@pytest.mark.parametrize('dtype', ['int32', 'float64', 'complex64'])
def test_weights_of_other_number_formats_are_listed(content, config, tmp_path, dtype):
    name = 'module.predictor_blocks.1.mlp.fc1.weight'
    content['predictor'][name] = content['predictor'][name].to(getattr(torch, dtype))
    with pytest.raises(CheckpointError) as caught:
        load_networks(_save(tmp_path / 'odd.pt', content, config))
    assert 'odd.pt: the weights do not fit the predictor' in str(caught.value)
    assert '1 not of float32, float16 or bfloat16' in str(caught.value)
    assert f'predictor_blocks.1.mlp.fc1.weight: {dtype}' in str(caught.value)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite_are_refused(content, config, tmp_path, value):
    content['encoder']['module.backbone.blocks.1.norm2.bias'][3] = value
    path = _save(tmp_path / 'diverged.pt', content, config)
    with pytest.raises(CheckpointError, match=r'diverged.pt.*blocks.1.norm2.bias contains NaN'):
        load_networks(path)


def test_weights_too_large_for_float16_are_refused(content, config, tmp_path):
    content['encoder']['module.backbone.blocks.1.mlp.fc1.bias'][3] = 1e5
    path = _save(tmp_path / 'large.pt', content, config)
    with pytest.raises(CheckpointError, match=r'fc1.bias is too large for torch.float16'):
        load_networks(path, torch.float16)
    load_networks(path, torch.bfloat16)


def test_damaged_weights_are_refused(official, content, tmp_path):
    path = shutil.copy(official.ac_checkpoint, tmp_path / 'damaged.pt')
    wanted = content['encoder']['module.backbone.blocks.1.mlp.fc1.weight'].numpy().tobytes()
    damaged = bytearray(path.read_bytes())
    damaged[bytes(damaged).index(wanted) + 1000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r'damaged.pt is damaged: the checksum of .*fc1'):
        load_networks(path)


def test_what_is_not_needed_may_be_damaged(official, content, config, tmp_path):
    content['opt'] = {'state': {0: {'exp_avg': torch.full((100,), 7.0)}}, 'param_groups': []}
    path = _save(tmp_path / 'ac.pt', content, config)
    damaged = bytearray(path.read_bytes())
    damaged[bytes(damaged).index(torch.full((100,), 7.0).numpy().tobytes())] ^= 1
    path.write_bytes(damaged)
    load_networks(path)


def test_entries_that_are_no_tensors_are_refused(content, config, tmp_path):
    content['encoder']['module.backbone.norm.weight'] = 'one'
    with pytest.raises(CheckpointError, match=r'norm.weight in encoder is a str'):
        load_networks(_save(tmp_path / 'odd.pt', content, config))


def test_tensors_that_are_not_dense_and_names_that_are_none_are_refused(content, config, tmp_path):
    name = next(name for name in content['encoder'] if name.endswith('attn.qkv.weight'))
    for odd in (
        {name: content['encoder'][name].to_sparse()},
        {7: torch.ones(2)},
    ):
        changed = {**content, 'encoder': content['encoder'] | odd}
        with pytest.raises(CheckpointError, match=r'in encoder is a Tensor|in encoder is a File'):
            load_networks(_save(tmp_path / 'odd.pt', changed, config))


def test_a_block_of_a_number_that_makes_no_sense_is_listed(content, tmp_path):
    # A network of so many blocks would take all memory.
    name = next(name for name in content['encoder'] if name.endswith('blocks.0.norm1.weight'))
    content['encoder'][name.replace('.0.', '.999999999.')] = content['encoder'][name]
    with pytest.raises(CheckpointError, match=r'blocks\.999999999\.norm1\.weight'):
        load_networks(_save(tmp_path / 'odd.pt', content))


@pytest.mark.parametrize('value', [None, [], 'x', 3])
def test_a_section_of_the_config_that_is_no_object_is_refused(content, tmp_path, value):
    for section in ('encoder', 'ac_predictor'):
        path = _save(tmp_path / 'ac.pt', content, {section: value})
        with pytest.raises(CheckpointError, match=f'{section} in .*config.json must be'):
            load_networks(path)


def test_a_config_of_another_network_is_refused(content, config, tmp_path):
    depth = config['ac_predictor']['depth']
    config['ac_predictor']['depth'] += 1
    with pytest.raises(CheckpointError, match=r'do not fit the predictor that .*config.json') as e:
        load_networks(_save(tmp_path / 'ac.pt', content, config))
    assert f'depth is {depth + 1} there and {depth} in the weights' in str(e.value)


def test_a_config_of_another_model_beside_the_file_is_not_ours(content, tmp_path):
    config = {'model_type': 'vit', 'layer_norm_eps': 0.5, 'image_size': 8}
    networks = load_networks(_save(tmp_path / 'ac.pt', content, config))
    assert networks.encoder.norm.eps == 1e-6
    assert 'image_size' not in networks.config


def test_files_that_are_no_checkpoints_are_refused_in_words(content, tmp_path):
    other = _save(tmp_path / 'other.pt', {'state_dict': {}, 'step': 3})
    flat = _save(tmp_path / 'flat.pt', content['encoder'])
    part = tmp_path / 'encoder.safetensors'
    part.touch()
    for path, said in (
        (other, 'it has: state_dict, step'),
        (flat, r'has no entry ema_encoder or target_encoder or encoder.* \d+ more'),
        (part, 'give the directory'),
        (tmp_path / 'absent.pt', 'no checkpoint'),
        (tmp_path, 'is no model directory'),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            load_networks(path)
        assert path.name in str(caught.value)


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
