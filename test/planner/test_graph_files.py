# SPDX-License-Identifier: Apache-2.0
"""Whether a graph that lies somewhere may be executed."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from safetensors.numpy import save_file

from vjepa_planner.backends.graph_files import (
    atomic_path,
    find_graph,
    graph_file_name,
    locked,
    MANIFEST_FILE,
    register_graph,
)
from vjepa_planner.backends.graphs import EncoderGraph, planning_graphs, PredictorGraph
from vjepa_planner.errors import CheckpointError, VjepaPlannerError

GRAPH = EncoderGraph(frames=2, height=32, width=48)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / 'encoder.safetensors'
    save_file({'weight': np.zeros((2, 3), np.float32)}, path)
    return path


@pytest.fixture
def graph_file(tmp_path, weights):
    """A registered graph; what is in it does not matter here."""
    path = tmp_path / graph_file_name(GRAPH, 'float32')
    path.write_bytes(b'graph')
    register_graph(path, weights)
    return path


def find(folder, weights, graph=GRAPH, precision='float32'):
    return find_graph(folder, graph, precision, weights)


def test_a_registered_graph_is_found_by_its_shape_and_precision(tmp_path, weights, graph_file):
    assert graph_file.name == 'encoder-2x32x48-float32.onnx'
    assert find(tmp_path, weights) == graph_file
    assert find(tmp_path, weights, precision='float16') is None
    assert find(tmp_path, weights, EncoderGraph(frames=2, height=48, width=32)) is None
    assert find(tmp_path, weights, PredictorGraph(step=1, tokens=6)) is None


def test_a_file_that_nobody_registered_does_not_count(tmp_path, weights):
    (tmp_path / graph_file_name(GRAPH, 'float32')).write_bytes(b'from somewhere')
    assert find(tmp_path, weights) is None


@pytest.mark.parametrize('damage', ['change', 'remove'])
def test_a_damaged_graph_is_refused_with_the_command_that_mends_it(
    tmp_path, weights, graph_file, damage
):
    if damage == 'change':
        graph_file.write_bytes(b'grape')
    else:
        graph_file.unlink()
    with pytest.raises(CheckpointError, match=r'missing or damaged\. .*vjepa export --backend'):
        find(tmp_path, weights)


def test_new_values_of_the_same_tensors_keep_the_graph(tmp_path, weights, graph_file):
    save_file({'weight': np.ones((2, 3), np.float32)}, weights)
    assert find(tmp_path, weights) == graph_file


@pytest.mark.parametrize(
    'tensors',
    [
        {'weight': np.zeros((3, 2), np.float32)},
        {'weight': np.zeros((2, 3), np.float16)},
        {'other': np.zeros((2, 3), np.float32)},
    ],
    ids=['shape', 'dtype', 'name'],
)
def test_a_graph_of_other_tensors_is_refused(tmp_path, weights, graph_file, tensors):
    save_file(tensors, weights)
    with pytest.raises(CheckpointError, match='made for other weights'):
        find(tmp_path, weights)


@pytest.mark.parametrize(
    'config',
    [
        {'encoder': {'num_heads': 4}},
        {'encoder': {'num_heads': 2}, 'layer_norm_eps': 1e-5},
        {'encoder': {'num_heads': 2}, 'img_size': 64},
    ],
)
def test_a_graph_of_other_sizes_that_no_shape_tells_is_refused(tmp_path, weights, config):
    file = tmp_path / 'config.json'
    file.write_text('{"encoder": {"num_heads": 2}, "planner": {}}')
    path = tmp_path / graph_file_name(GRAPH, 'float32')
    path.write_bytes(b'graph')
    register_graph(path, weights)
    file.write_text('{"encoder": {"num_heads": 2}, "planner": {"name": "cem"}}')
    assert find(tmp_path, weights) == path
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r'made for other weights .*another config'):
        find(tmp_path, weights)
    register_graph(path, weights)
    assert find(tmp_path, weights) == path


def test_a_graph_for_new_weights_drops_those_for_old_ones(tmp_path, weights, graph_file):
    save_file({'weight': np.zeros((4, 4), np.float32)}, weights)
    newer = tmp_path / graph_file_name(GRAPH, 'float16')
    newer.write_bytes(b'newer')
    register_graph(newer, weights)
    assert find(tmp_path, weights, precision='float16') == newer
    assert find(tmp_path, weights) is None


@pytest.mark.parametrize('text', ['', '[]', '{"format": 1}', '{"format": 1, "weights": 3}'])
def test_a_broken_manifest_is_refused(tmp_path, weights, graph_file, text):
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r'graphs\.json'):
        find(tmp_path, weights)


def test_graphs_of_another_format_are_exported_again(tmp_path, weights, graph_file):
    content = json.loads((tmp_path / MANIFEST_FILE).read_text())
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(content | {'format': 0}))
    assert find(tmp_path, weights) is None


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'file'
    path.write_text('old')

    def fail_half_way():
        with atomic_path(path) as part:
            part.write_text('ne')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as part:
        part.write_text('new')
    assert path.read_text() == 'new'


def test_one_process_at_a_time_changes_a_directory(tmp_path):
    order = []

    def second():
        with locked(tmp_path):
            order.append('second')

    thread = threading.Thread(target=second)
    with locked(tmp_path):
        thread.start()
        thread.join(0.2)
        order.append('first')
    thread.join()
    assert order == ['first', 'second']


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with (
        pytest.raises(VjepaPlannerError, match=r'file/cache cannot be made: .*set XDG_CACHE_HOME'),
        locked(tmp_path / 'file' / 'cache'),
    ):
        pass


def test_planning_needs_a_still_image_and_every_step_to_the_horizon():
    encoder = {'tubelet_size': 2, 'patch_size': 16, 'img_size': [32, 32]}
    config = {'encoder': encoder, 'ac_predictor': {}, 'image_size': [32, 48]}
    names = [graph.name for graph in planning_graphs(config, horizon=2)]
    assert names == ['encoder-2x32x48', 'predictor-1x6', 'predictor-2x6']
    (only,) = planning_graphs({'encoder': encoder}, horizon=2)
    assert only.name == 'encoder-2x32x32'
