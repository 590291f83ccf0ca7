# SPDX-License-Identifier: Apache-2.0
"""Networks to ONNX files that refer to the weights in a safetensors file and hold no copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from pathlib import Path
import warnings

import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript import optimizer
import torch
from torch import nn

from vjepa_planner.backends.graph_files import (
    atomic_path,
    graph_file_name,
    locked,
    register_graph,
)
from vjepa_planner.backends.graphs import EncoderGraph, Graph
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.export.programs import EncoderProgram, PredictorProgram
from vjepa_planner.networks import ACPredictor, Networks
from vjepa_planner.networks.ac_predictor import frame_causal_mask
from vjepa_planner.networks.blocks import set_matrix_dtype
from vjepa_planner.networks.rope import cached_table
from vjepa_planner.safetensors_header import read_safetensors_header

# 17 has LayerNormalization as one operator, 20 has Gelu; ONNX Runtime since 1.17 and TensorRT
# since 10 know it.
OPSET = 20

_PREFIX = 'network.'
_DTYPES = {'F32': ir.DataType.FLOAT, 'F16': ir.DataType.FLOAT16, 'BF16': ir.DataType.BFLOAT16}


def export_graph(
    networks: Networks, graph: Graph, precision: str, model_folder: Path, folder: Path
) -> Path:
    """Write the ONNX file of a graph.

    Args:
        networks: Of the model. Their matrices are cast to ``precision``.
        graph: The network and its shape.
        precision: Of the products of matrices, see ``PRECISIONS`` of the backends.
        model_folder: Model directory with the weights, to which the file will refer by name.
        folder: Where to write it; the model directory itself, or another one.

    Returns:
        The file, which is also in the manifest of ``folder``.

    Raises:
        InvalidInputError: The networks lack this one, or do not accept the shape.
        CheckpointError: There are no weights in the model directory.
    """
    program = _program(networks, graph)
    set_matrix_dtype(program, getattr(torch, precision))
    model = _to_onnx(program, graph)
    weights = model_folder / graph.weights_file
    _refer_to_weights(model, weights)
    path = folder / graph_file_name(graph, precision)
    with locked(folder):
        with atomic_path(path) as part:
            ir.save(model, part)
        register_graph(path, weights)
    return path


def _program(networks: Networks, graph: Graph) -> EncoderProgram | PredictorProgram:
    if isinstance(graph, EncoderGraph):
        return EncoderProgram(networks.encoder, graph)
    if not isinstance(networks.predictor, ACPredictor):
        raise InvalidInputError('this model has no action-conditioned predictor to export.')
    return PredictorProgram(networks.predictor, graph)


def _to_onnx(program: EncoderProgram | PredictorProgram, graph: Graph) -> ir.Model:
    inputs, dynamic_shapes = program.example()
    with _quiet(), _tracing(), torch.no_grad():
        exported = torch.onnx.export(
            program.eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=dynamic_shapes,
            optimize=False,  # it would fold weights into new constants
            verbose=False,
        )
        assert exported is not None
        model = exported.model
        _fold_all_but_weights(model, program)
    return model


def _fold_all_but_weights(model: ir.Model, program: nn.Module) -> None:
    """Compute rotary tables and masks, once, and leave the weights as they are in the file."""
    weights = {name for name, _ in program.named_parameters()}

    def should_fold(node: ir.Node) -> bool | None:
        return not any(value is not None and value.name in weights for value in node.inputs)

    # The parts of onnxscript's optimizer that do not look at weights. Others merge equal ones and
    # drop biases that are zero, which holds only until they are trained.
    passes.InlinePass()(model)
    # What every block does alike with tables and masks becomes one, then it is computed.
    passes.CommonSubexpressionEliminationPass()(model)
    limit = 2**31
    optimizer.fold_constants_ir(
        model, should_fold=should_fold, input_size_limit=limit, output_size_limit=limit
    )
    passes.RemoveUnusedNodesPass()(model)
    passes.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.ClearMetadataAndDocStringPass()(model)  # stack traces of every node
    model.producer_name, model.producer_version, model.graph.name = 'vjepa_planner', None, 'graph'


def _refer_to_weights(model: ir.Model, path: Path) -> None:
    """Replace the weights by references to where they are in a safetensors file."""
    header, start = read_safetensors_header(path)
    for value in list(model.graph.initializers.values()):
        entry = header.get(str(value.name).removeprefix(_PREFIX))
        if entry is None or not str(value.name).startswith(_PREFIX):
            continue
        begin, end = entry['data_offsets']
        stored = ir.ExternalTensor(
            location=path.name,
            offset=start + begin,
            length=end - begin,
            dtype=_DTYPES[entry['dtype']],
            shape=ir.Shape(entry['shape']),
            name=str(value.name),
            base_dir=path.parent,
        )
        _set_stored(model.graph, value, stored)


def _set_stored(graph: ir.Graph, value: ir.Value, stored: ir.ExternalTensor) -> None:
    """Let an initializer be a stored tensor, cast where the network computes in another dtype."""
    dtype = value.dtype
    assert value.name is not None
    if dtype == stored.dtype:
        value.const_value = stored
        return
    del graph.initializers[value.name]
    original = ir.Value(
        name=value.name, shape=stored.shape, type=ir.TensorType(stored.dtype), const_value=stored
    )
    graph.register_initializer(original)
    cast = ir.node('Cast', [original], {'to': dtype})
    cast.outputs[0].name = f'{value.name}.cast'
    cast.outputs[0].shape, cast.outputs[0].type = value.shape, value.type
    graph.insert_before(graph[0], cast)
    value.replace_all_uses_with(cast.outputs[0])


@contextmanager
def _tracing() -> Iterator[None]:
    """Clean up after the exporter.

    What networks keep per shape is dropped: made while they are traced, it is no real tensor. Our
    own errors and Ctrl-C come out as they are; the exporter tries other ways after either, and
    reports how the last one failed.
    """
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        for origin in _origins(error):
            # The shape is none of this network's, or nobody wants to wait.
            if isinstance(origin, VjepaPlannerError | KeyboardInterrupt):
                raise origin from None
        raise
    finally:
        cached_table.cache_clear()
        frame_causal_mask.cache_clear()


def _origins(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an error, one after the other."""
    origin = error.__cause__ or error.__context__
    while origin is not None:
        yield origin
        origin = origin.__cause__ or origin.__context__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about its own parts and about torchvision."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'torch.export', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
