# SPDX-License-Identifier: Apache-2.0
"""What the exported graphs are made of."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')
from onnx.reference import ReferenceEvaluator  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
import torch  # noqa: E402

from vjepa_planner.backends import backend_class  # noqa: E402
from vjepa_planner.backends.graphs import EncoderGraph, PredictorGraph  # noqa: E402
from vjepa_planner.errors import InvalidInputError  # noqa: E402
from vjepa_planner.export.programs import EncoderProgram  # noqa: E402
from vjepa_planner.export.to_onnx import export_graph  # noqa: E402
from vjepa_planner.networks import load_networks, save_model_directory  # noqa: E402

ENCODER = EncoderGraph(frames=2, height=32, width=32)
PREDICTOR = PredictorGraph(step=2, tokens=4)
# What computes rotary tables and masks, not with them.
TABLE_OPERATORS = {
    'Sin',
    'Cos',
    'Range',
    'Pow',
    'Tile',
    'GreaterOrEqual',
    'ScatterND',
    'Loop',
    'If',
}


@pytest.fixture(scope='module')
def model(tiny_model, tmp_path_factory):
    """A copy of the tiny model with graphs beside it."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp('exported') / 'tiny')
    for graph in (ENCODER, PREDICTOR):
        export_graph(load_networks(folder), graph, 'float32', folder, folder)
    return folder


def read(folder, graph, precision='float32'):
    return onnx.load(folder / f'{graph.name}-{precision}.onnx', load_external_data=False).graph


@pytest.mark.parametrize('graph', [ENCODER, PREDICTOR], ids=lambda graph: graph.name)
def test_a_graph_is_valid_and_has_the_promised_inputs_and_outputs(model, graph):
    onnx.checker.check_model(str(model / f'{graph.name}-float32.onnx'), full_check=True)
    content = read(model, graph)
    assert tuple(value.name for value in content.input) == graph.inputs
    assert tuple(value.name for value in content.output) == graph.outputs
    for value in content.input:
        dimensions = value.type.tensor_type.shape.dim
        assert bool(dimensions[0].dim_param) == (value.name in graph.batched_inputs), value.name
        assert all(dimension.dim_value for dimension in dimensions[1:]), value.name


@pytest.mark.parametrize('graph', [ENCODER, PREDICTOR], ids=lambda graph: graph.name)
def test_rotary_tables_and_masks_are_constants(model, graph):
    operators = {node.op_type for node in read(model, graph).node}
    assert not operators & TABLE_OPERATORS


@pytest.mark.parametrize('graph', [ENCODER, PREDICTOR], ids=lambda graph: graph.name)
def test_every_weight_is_a_reference_to_its_bytes_in_the_safetensors_file(model, graph):
    weights = load_file(model / graph.weights_file)
    content = (model / graph.weights_file).read_bytes()
    referring = {
        tensor.name.removeprefix('network.'): tensor
        for tensor in read(model, graph).initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    assert referring.keys() == weights.keys()
    for name, tensor in referring.items():
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert place['location'] == graph.weights_file
        begin = int(place['offset'])
        data = content[begin : begin + int(place['length'])]
        np.testing.assert_array_equal(
            np.frombuffer(data, np.float32).reshape(weights[name].shape), weights[name]
        )


def test_new_weights_under_the_same_header_are_used(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / 'trained')
    clip = np.ones((1, 3, 2, 32, 32), np.float32)
    before = backend_class('onnxruntime').load(folder, 'cpu', 'float32').features(clip)
    weights = load_file(folder / 'encoder.safetensors')
    save_file({name: 0.5 * w for name, w in weights.items()}, folder / 'encoder.safetensors')
    after = backend_class('onnxruntime').load(folder, 'cpu', 'float32').features(clip)
    expected = backend_class('torch').load(folder, 'cpu', 'float32').features(clip)
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(after, expected, atol=1e-5)


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_half_precision_is_written_into_the_graph_for_products_of_matrices_only(
    model, tmp_path, precision
):
    folder = shutil.copytree(model, tmp_path / precision)
    path = export_graph(load_networks(folder), PREDICTOR, precision, folder, folder)
    onnx.checker.check_model(str(path), full_check=True)
    inferred = onnx.shape_inference.infer_shapes_path
    typed = tmp_path / 'typed.onnx'
    inferred(str(path), str(typed))
    content = onnx.load(typed, load_external_data=False).graph
    half = getattr(onnx.TensorProto, precision.upper())
    types = {v.name: v.type.tensor_type.elem_type for v in content.value_info}
    types |= {v.name: v.type.tensor_type.elem_type for v in (*content.input, *content.output)}
    of = {}
    for node in content.node:
        of.setdefault(node.op_type, set()).update(types[name] for name in node.output)
    assert of['MatMul'] == {half}
    assert of['LayerNormalization'] == {onnx.TensorProto.FLOAT}
    assert of['ReduceMean'] == {onnx.TensorProto.FLOAT}  # the energy
    assert types['embedding'] == types['energy'] == onnx.TensorProto.FLOAT


def test_a_bfloat16_graph_computes_what_torch_computes_in_bfloat16(official, tmp_path):
    """By the reference evaluator of ONNX: no engine on a CPU multiplies matrices of bfloat16."""
    networks = load_networks(official.ac_checkpoint)
    save_model_directory(tmp_path, networks.encoder, networks.predictor, networks.config)
    context, goal = official.arrays['rollout_context'][0], official.arrays['goal'][0]
    actions = official.arrays['rollout_actions'][:, :1]
    states = official.arrays['rollout_poses'][:, :1]
    graph = PredictorGraph(step=1, tokens=len(context))
    path = export_graph(networks, graph, 'bfloat16', tmp_path, tmp_path)
    inputs = {'context': context, 'goal': goal, 'actions': actions, 'states': states}
    embedding, energy = ReferenceEvaluator(onnx.load(path)).run(['embedding', 'energy'], inputs)
    torch_backend = backend_class('torch').load(official.ac_checkpoint, 'cpu', 'bfloat16')
    arguments = (context, states.astype(float), actions.astype(float))
    np.testing.assert_allclose(embedding, torch_backend.rollout(*arguments)[:, 0], atol=0.05)
    np.testing.assert_allclose(energy, torch_backend.rollout_energy(*arguments, goal), atol=2e-3)


def test_exporting_leaves_the_networks_usable(official, tmp_path):
    networks = load_networks(official.ac_checkpoint)
    save_model_directory(tmp_path, networks.encoder, networks.predictor, networks.config)
    clip = torch.from_numpy(official.arrays['enc_in_2f'])
    graph = EncoderGraph(frames=2, height=clip.shape[3], width=clip.shape[4])
    export_graph(networks, graph, 'float32', tmp_path, tmp_path)
    with torch.no_grad():
        features = networks.encoder(clip).numpy()
    np.testing.assert_allclose(features, official.arrays['enc_out_2f'], atol=1e-5)


def test_a_shape_that_the_network_does_not_take_is_refused(model):
    with pytest.raises(InvalidInputError, match='multiples of'):
        export_graph(
            load_networks(model),
            EncoderGraph(frames=3, height=32, width=32),
            'float32',
            model,
            model,
        )


def test_ctrl_c_ends_an_export_wherever_it_comes(model, monkeypatch):
    def interrupt(self, clip):
        # As in the middle of one of torch's imports, which then fails for another reason.
        raise AttributeError('module has no attribute') from KeyboardInterrupt()

    monkeypatch.setattr(EncoderProgram, 'forward', interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_graph(load_networks(model), ENCODER, 'float32', model, model)
