# SPDX-License-Identifier: Apache-2.0
"""The world model, from a path or a name to energies."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip('torch')

from vjepa_planner import model_files
from vjepa_planner.errors import CheckpointError, InvalidInputError, UnknownNameError
from vjepa_planner.networks import load_networks, save_model_directory
from vjepa_planner.world_model import load_world_model

EXTRA = {
    'name': 'tiny',
    'image_size': 32,
    'crop': 'squash',
    'ee_frame': 'fr3_hand_tcp',
    'planner': {'name': 'cem', 'num_samples': 8},
}


@pytest.fixture(scope='module')
def world_model(official):
    return load_world_model(official.ac_checkpoint, device='cpu')


@pytest.fixture
def models(official, tmp_path, monkeypatch):
    """A working directory with models/franka-sim, and no other models anywhere."""
    networks = load_networks(official.ac_checkpoint)
    folder = tmp_path / 'models'
    save_model_directory(folder / 'franka-sim', networks.encoder, networks.predictor, EXTRA)
    monkeypatch.setattr(model_files, 'model_folders', lambda: (folder,))
    return folder


def test_an_official_file_sees_images_of_its_own_size(world_model, official):
    size = json.loads((official.folder / 'config.json').read_text())['encoder']['img_size']
    expected = (size, size) if isinstance(size, int) else tuple(size)
    assert world_model.config.image_size == expected
    assert world_model.config.crop == 'squash'  # that of the training
    images = np.zeros((2, 120, 160, 3), dtype=np.uint8)
    assert world_model.encode(images).shape == (2, *world_model.embedding_shape)


def test_embeddings_are_layer_normalised_and_tell_images_apart(world_model):
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    embeddings = world_model.encode(images)
    np.testing.assert_allclose(embeddings.mean(-1), 0.0, atol=1e-4)
    np.testing.assert_allclose(embeddings.std(-1), 1.0, atol=1e-2)
    assert world_model.energy(embeddings, embeddings[0])[1] > 0.01


def test_rollout_states_and_energies_are_the_official_ones(world_model, official):
    arrays = official.arrays
    context, state = arrays['rollout_context'][0], arrays['rollout_pose0'][0, 0]
    goal, actions = arrays['goal'][0], arrays['rollout_actions']
    embeddings, states = world_model.rollout(context, state, actions)
    np.testing.assert_allclose(embeddings, arrays['rollout_reps'][:, 1:], atol=1e-5)
    np.testing.assert_allclose(states, arrays['rollout_poses'][:, 1:], atol=1e-6)
    expected = arrays['rollout_energy_l1']
    np.testing.assert_allclose(world_model.energy(embeddings[:, -1], goal), expected, atol=1e-5)
    np.testing.assert_allclose(
        world_model.candidate_energies(context, state, actions, goal), expected, atol=1e-5
    )


def test_the_energy_grid_of_the_official_notebook_is_reproduced(world_model, official):
    arrays = official.arrays
    energies = world_model.candidate_energies(
        arrays['rollout_context'][0],
        arrays['rollout_pose0'][0, 0],
        arrays['grid_actions'][:, None],
        arrays['goal'][0],
    )
    np.testing.assert_allclose(energies, arrays['grid_energy_l1'], atol=1e-5)


def test_wrong_shapes_and_numbers_are_refused(world_model, official):
    arrays = official.arrays
    right = {
        'embedding': arrays['rollout_context'][0],
        'state': arrays['rollout_pose0'][0, 0],
        'actions': arrays['rollout_actions'],
        'goal': arrays['goal'][0],
    }
    nan = np.full(7, np.nan)
    for wrong in (
        {'embedding': right['embedding'][:1]},
        {'goal': right['goal'][:, :1]},
        {'state': right['state'][:6]},
        {'state': nan},
        {'actions': right['actions'][0]},
        {'actions': right['actions'] + nan},
        {'actions': right['actions'][..., :6]},
    ):
        with pytest.raises(InvalidInputError):
            world_model.candidate_energies(**{**right, **wrong})


def test_a_model_directory_is_found_by_path_and_by_name(models):
    for where in (models / 'franka-sim', 'franka-sim'):
        config = load_world_model(where, device='cpu').config
        assert config.name == 'tiny'
        assert config.image_size == (32, 32)
        assert config.crop == 'squash'
        assert config.ee_frame == 'fr3_hand_tcp'
        assert config.planner == {'name': 'cem', 'num_samples': 8}


def test_the_image_size_of_the_directory_counts(models):
    world_model = load_world_model('franka-sim', device='cpu')
    embedding = world_model.encode(np.zeros((1, 64, 64, 3), dtype=np.uint8))[0]
    assert embedding.shape == world_model.embedding_shape
    actions = np.zeros((3, 2, 7))
    energies = world_model.candidate_energies(embedding, np.zeros(7), actions, embedding)
    assert np.isfinite(energies).all()


def test_the_crop_may_be_chosen(models):
    assert load_world_model('franka-sim', device='cpu', crop='square').config.crop == 'square'
    untrained = load_world_model('untrained', device='cpu', crop='square')
    assert untrained.preprocessor.crop == 'square'
    with pytest.raises(InvalidInputError, match='crop must be one of'):
        load_world_model('franka-sim', device='cpu', crop='circle')


def test_an_untrained_model_has_the_shipped_sizes_and_seeded_weights(models):
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    first, again, other = (
        load_world_model('untrained', device='cpu', seed=seed).encode(image) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    shipped = load_world_model('franka-sim', device='cpu')
    assert load_world_model('untrained', device='cpu').config.planner == shipped.config.planner
    assert first.shape == shipped.encode(image).shape
    assert not np.allclose(first, shipped.encode(image))


def test_unknown_names_and_paths_are_refused_in_words(models, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'franka-sim'"):
        load_world_model('franka-sin')
    with pytest.raises(CheckpointError, match='no model at'):
        load_world_model(tmp_path / 'absent.pt')
    with pytest.raises(UnknownNameError, match='unknown backend'):
        load_world_model('franka-sim', backend='abacus')


def test_a_wrong_entry_of_the_config_is_refused_in_words(models, tmp_path):
    folder = shutil.copytree(models / 'franka-sim', tmp_path / 'broken')
    config = json.loads((folder / 'config.json').read_text())
    for wrong in ({'crop': 'circle'}, {'image_size': [1, 2, 3]}, {'image_size': 40}):
        (folder / 'config.json').write_text(json.dumps({**config, **wrong}))
        with pytest.raises(CheckpointError, match=r'config\.json'):
            load_world_model(folder, device='cpu')


def test_models_are_looked_for_in_the_source_tree_and_where_they_are_installed(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'models' / 'mine').mkdir(parents=True)
    (tmp_path / 'models' / 'mine' / 'config.json').write_text('{}')
    installed = tmp_path / 'prefix'
    (installed / 'share/vjepa_ros/models/shared').mkdir(parents=True)
    (installed / 'share/vjepa_ros/models/shared/config.json').write_text('{}')
    monkeypatch.setattr('sys.prefix', str(installed))
    assert {'mine', 'shared', 'untrained'} <= set(model_files.available_models())
    assert model_files.find_model('mine').resolve() == tmp_path / 'models' / 'mine'
    assert model_files.find_model('shared').is_relative_to(installed)
