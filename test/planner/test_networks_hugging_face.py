# SPDX-License-Identifier: Apache-2.0
"""Directories of Hugging Face give the networks, and the numbers, that ``transformers`` gives."""

from __future__ import annotations

import json
import logging
import shutil

import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')
safetensors_torch = pytest.importorskip('safetensors.torch')

from vjepa_planner.errors import CheckpointError  # noqa: E402
from vjepa_planner.networks import load_networks  # noqa: E402

TOLERANCE = 1e-4
SMALL = {
    'crop_size': 64,
    'frames_per_clip': 8,
    'hidden_size': 96,
    'num_hidden_layers': 2,
    'num_attention_heads': 3,
    'mlp_ratio': 48 / 11,
    'pred_hidden_size': 64,
    'pred_num_hidden_layers': 2,
    'pred_num_attention_heads': 2,
    'pred_num_mask_tokens': 3,
}


@torch.no_grad()
def _random_model(kind='VJEPA2Model', **sizes):
    """Return a model of ``transformers`` in which no parameter is zero or one."""
    with torch.device('meta'):  # its own initial weights would take a while
        model = getattr(transformers, kind)(transformers.VJEPA2Config(**sizes))
    model.to_empty(device='cpu').eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.normal_(0.0, 0.02 if parameter.ndim > 1 else 0.1, generator=generator)
        if 'norm' in name and name.endswith('weight'):
            parameter.add_(1.0)
    return model


@pytest.fixture(scope='module')
def small():
    return _random_model(**SMALL)


@pytest.fixture
def directory(small, tmp_path):
    small.save_pretrained(tmp_path)
    return tmp_path


@torch.no_grad()
def _assert_agrees(model, networks, frames):
    """Compare features of random frames, and predictions of the half of them that is hidden."""
    generator = torch.Generator().manual_seed(1)
    side = model.config.crop_size
    clip = torch.randn(1, frames, 3, side, side, generator=generator)
    tokens = (frames // 2) * (side // 16) ** 2
    kept, hidden = torch.randperm(tokens, generator=generator)[None].chunk(2, dim=1)
    theirs = model(clip, context_mask=[kept], target_mask=[hidden])
    features = networks.encoder(clip.transpose(1, 2))
    visible = features.gather(1, kept[..., None].expand(-1, -1, features.shape[-1]))
    predicted = networks.predictor(visible, kept, hidden, mask_index=1)
    torch.testing.assert_close(features, theirs.last_hidden_state, atol=TOLERANCE, rtol=0)
    expected = theirs.predictor_output.last_hidden_state
    torch.testing.assert_close(predicted, expected, atol=TOLERANCE, rtol=0)


def test_a_small_model_agrees_with_transformers(small, directory):
    networks = load_networks(directory)
    _assert_agrees(small, networks, frames=8)
    assert networks.encoder.config.img_size == (64, 64)
    assert networks.predictor.config.num_frames == 8


def test_full_size_vit_l_agrees_with_transformers(tmp_path):
    model = _random_model()  # the defaults are those of facebook/vjepa2-vitl-fpc64-256
    model.save_pretrained(tmp_path)
    networks = load_networks(tmp_path)
    assert sum(p.numel() for p in networks.encoder.parameters()) == 303_885_312
    _assert_agrees(model, networks, frames=2)


def test_it_is_the_same_network_as_in_the_official_layout(directory, tmp_path):
    from_directory = load_networks(directory)
    content = {
        'target_encoder': {
            f'module.backbone.{k}': v for k, v in from_directory.encoder.state_dict().items()
        },
        'predictor': {f'module.{k}': v for k, v in from_directory.predictor.state_dict().items()},
    }
    other = tmp_path / 'official'
    other.mkdir()
    torch.save(content, other / 'vitl.pt')
    sizes = {
        'encoder': from_directory.encoder.config.to_dict(),
        'pretrain_predictor': from_directory.predictor.config.to_dict(),
    }
    (other / 'config.json').write_text(json.dumps(sizes))
    from_file = load_networks(other / 'vitl.pt')
    for ours, official in zip(from_directory[:2], from_file[:2], strict=True):
        assert ours.config == official.config
        for name, parameter in official.state_dict().items():
            assert torch.equal(ours.state_dict()[name], parameter), name


def test_several_files_with_an_index_are_read(small, tmp_path):
    small.save_pretrained(tmp_path, max_shard_size='300KB')
    assert len(list(tmp_path.glob('*.safetensors'))) > 1
    _assert_agrees(small, load_networks(tmp_path), frames=2)


def test_an_index_that_leads_elsewhere_is_refused(small, tmp_path):
    small.save_pretrained(tmp_path, max_shard_size='300KB')
    index = tmp_path / 'model.safetensors.index.json'
    for content, said in (
        ({'weight_map': {'a': '../secret.safetensors'}}, 'points out of its directory'),
        ({'weight_map': {'a': 'absent.safetensors'}}, r'has no absent\.safetensors'),
        ({'weight_map': {'a': ''}}, 'points out of its directory'),
        ({'weights': {}}, 'does not say which file'),
        ([], 'does not say which file'),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=said):
            load_networks(tmp_path)


@pytest.mark.parametrize('kinds', [('query',), ('query', 'key', 'value')])
def test_queries_that_do_not_fit_keys_and_values_are_listed(directory, kinds):
    file = directory / 'model.safetensors'
    tensors = safetensors_torch.load_file(file)
    name = 'encoder.layer.0.attention.{}.weight'
    for odd in (
        torch.ones(tensors[name.format('query')].shape, dtype=torch.int32),
        torch.ones(()),
    ):
        changed = {name.format(kind): odd.clone() for kind in kinds}
        safetensors_torch.save_file(tensors | changed, file)
        with pytest.raises(CheckpointError, match=r'blocks\.0\.attn\.q(uery|kv)\.weight'):
            load_networks(directory)


def test_names_of_the_earlier_converter_are_understood(directory, small):
    file = directory / 'model.safetensors'
    tensors = safetensors_torch.load_file(file)
    earlier = {k.replace('.attention.', '.attention.attention.'): v for k, v in tensors.items()}
    assert earlier.keys() != tensors.keys()
    safetensors_torch.save_file(earlier, file)
    _assert_agrees(small, load_networks(directory), frames=2)


def test_a_classifier_gives_its_encoder_and_says_that_the_head_is_left_out(tmp_path, caplog):
    model = _random_model('VJEPA2ForVideoClassification', **SMALL, num_pooler_layers=1)
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        networks = load_networks(tmp_path)
    assert 'is a classifier' in caplog.text
    _assert_agrees(model.vjepa2, networks, frames=2)


def test_weights_in_half_precision_are_read(small, tmp_path):
    import copy

    copy.deepcopy(small).to(torch.bfloat16).save_pretrained(tmp_path)
    networks = load_networks(tmp_path)
    stored = small.encoder.layer[0].mlp.fc1.weight.to(torch.bfloat16).float()
    assert torch.equal(networks.encoder.blocks[0].mlp.fc1.weight, stored)


def _edit(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'model_type': 'vit'}, "of type 'vit', expected 'vjepa2'"),
        ({'hidden_act': 'relu'}, "hidden_act 'relu' is not supported"),
        ({'num_hidden_layers': 5}, 'depth is 5 there and 2 in the weights'),
        ({'pred_hidden_size': 32}, 'predictor_embed_dim is 32 there and 64 in the weights'),
        ({'num_attention_heads': 5}, 'must split into 5 heads'),
    ],
)
def test_configs_that_do_not_fit_are_refused(directory, change, said):
    _edit(directory / 'config.json', lambda config: config.update(change))
    with pytest.raises(CheckpointError, match=said):
        load_networks(directory)


def test_missing_and_unexpected_weights_are_listed(directory):
    file = directory / 'model.safetensors'
    tensors = safetensors_torch.load_file(file)
    del tensors['encoder.layer.1.attention.key.weight']
    tensors['something'] = torch.zeros(2)
    safetensors_torch.save_file(tensors, file)
    with pytest.raises(CheckpointError) as caught:
        load_networks(directory)
    message = str(caught.value)
    assert '1 missing from the file:\n    blocks.1.attn.qkv.weight' in message
    assert 'blocks.1.attn.query.weight' in message
    assert '    something' in message


def test_a_directory_without_weights_is_refused(directory):
    (directory / 'model.safetensors').unlink()
    with pytest.raises(CheckpointError, match=r'has no model\.safetensors'):
        load_networks(directory)
    shutil.rmtree(directory)
    with pytest.raises(CheckpointError, match='no checkpoint at'):
        load_networks(directory)
