# SPDX-License-Identifier: Apache-2.0
"""Where a model's graphs come from: beside its weights, out of the cache, or exported now."""

from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

pytest.importorskip('torch')

from vjepa_planner.backends.graph_files import MANIFEST_FILE
from vjepa_planner.backends.graphs import EncoderGraph, PredictorGraph
from vjepa_planner.backends.model_graphs import convert, ModelGraphs
from vjepa_planner.errors import CheckpointError, InvalidInputError
from vjepa_planner.networks import load_networks, save_model_directory

ENCODER = EncoderGraph(frames=2, height=32, width=32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'vjepa_ros' / 'graphs'


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / 'tiny')


def test_a_missing_graph_is_exported_into_the_cache_and_the_model_stays_as_it_is(model, cache):
    before = sorted(model.iterdir())
    path = ModelGraphs(model, 'float32').file(ENCODER)
    assert path.parent.parent == cache
    assert sorted(model.iterdir()) == before
    changed = path.stat().st_mtime_ns
    assert ModelGraphs(model, 'float32').file(ENCODER) == path
    assert path.stat().st_mtime_ns == changed  # found, not made again


def test_graphs_beside_the_weights_are_preferred(model, cache):
    beside = ModelGraphs(model, 'float32', model).export(ENCODER)
    assert beside.parent == model
    assert ModelGraphs(model, 'float32').file(ENCODER) == beside
    assert not cache.exists()


def test_a_changed_model_does_not_use_the_graphs_of_the_old_one(model, cache):
    old = ModelGraphs(model, 'float32').file(ENCODER)
    networks = load_networks(model)
    weights = model / 'encoder.safetensors'
    stamp = weights.stat().st_mtime_ns
    save_model_directory(model, networks.encoder, networks.predictor, {'image_size': 32})
    os.utime(weights, ns=(stamp, stamp + 1))
    assert ModelGraphs(model, 'float32').file(ENCODER) != old


def test_a_damaged_graph_of_the_model_is_refused_and_one_of_the_cache_made_again(model, cache):
    beside = ModelGraphs(model, 'float32', model).export(ENCODER)
    beside.write_bytes(beside.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match='damaged'):
        ModelGraphs(model, 'float32').file(ENCODER)
    (model / MANIFEST_FILE).unlink()
    cached = ModelGraphs(model, 'float32').file(ENCODER)
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-1])
    assert ModelGraphs(model, 'float32').file(ENCODER).read_bytes() == whole


def test_a_checkpoint_of_the_official_layout_is_converted_once(official, cache):
    graphs = ModelGraphs(official.ac_checkpoint, 'float32')
    assert graphs.folder.parent == cache
    weights = graphs.folder / 'predictor.safetensors'
    changed = weights.stat().st_mtime_ns
    again = ModelGraphs(official.ac_checkpoint, 'float32')
    assert again.folder == graphs.folder
    assert weights.stat().st_mtime_ns == changed
    assert again.config['ac_predictor'] == load_networks(again.folder).config['ac_predictor']


def test_a_config_that_changes_beside_a_checkpoint_is_noticed(official, tmp_path, cache):
    path = Path(shutil.copy(official.ac_checkpoint, tmp_path))
    config = json.loads((official.folder / 'config.json').read_text())
    old = ModelGraphs(path, 'float32')
    config['layer_norm_eps'] = 0.5
    (tmp_path / 'config.json').write_text(json.dumps(config))
    new = ModelGraphs(path, 'float32')
    assert old.config['encoder']['layer_norm_eps'] != 0.5
    assert new.config['encoder']['layer_norm_eps'] == 0.5


def test_converting_keeps_the_weights_and_what_the_config_says(model, tmp_path):
    convert(model, tmp_path / 'copy')
    old, new = load_networks(model), load_networks(tmp_path / 'copy')
    assert new.config == old.config
    for name, tensor in old.predictor.state_dict().items():
        assert tensor.equal(new.predictor.state_dict()[name]), name


def test_a_model_without_predictor_says_so(model, cache):
    (model / 'predictor.safetensors').unlink()
    with pytest.raises(InvalidInputError, match='no action-conditioned predictor'):
        ModelGraphs(model, 'float32').file(PredictorGraph(step=1, tokens=4))


WITHOUT_TORCH = """
import sys
sys.modules['torch'] = None  # importing it fails from now on
import numpy as np
from vjepa_planner import load_world_model, VjepaPlannerError
try:
    model = load_world_model(sys.argv[1], backend='onnxruntime', device='cpu')
    z = model.encode(np.full((2, 32, 32, 3), 99, np.uint8))
    print(model.candidate_energies(z[0], np.zeros(7), np.zeros((3, int(sys.argv[2]), 7)), z[1]))
except VjepaPlannerError as error:
    print(type(error).__name__, error)
assert not [name for name in sys.modules if name.startswith('torch.')]
"""


def without_torch(model, horizon):
    command = [sys.executable, '-c', WITHOUT_TORCH, str(model), str(horizon)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_exported_model_plans_where_torch_is_not_installed(model, cache, official):
    graphs = ModelGraphs(model, 'float32', model)
    graphs.export(ENCODER)
    graphs.export(PredictorGraph(step=1, tokens=4))
    assert without_torch(model, horizon=1).startswith('[0.')
    answer = without_torch(model, horizon=2)  # of which there is no graph
    assert 'MissingDependencyError' in answer
    assert "predictor-2x4 of precision float32; exporting it needs the package 'torch'" in answer
    assert "pip install 'vjepa_ros[export]'" in answer
    assert "reading it needs the package 'torch'" in without_torch(official.ac_checkpoint, 1)
