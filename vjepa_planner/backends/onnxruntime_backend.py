# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime, on a CPU or an NVIDIA GPU. Needs no torch where the graphs were exported."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path

# From 1.29 on, ONNX Runtime for Linux reports its use to its makers unless this is set before it
# is loaded. Nothing here talks to another machine unasked.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')

import onnxruntime as ort

from vjepa_planner.backends.base import check_precision
from vjepa_planner.backends.graph_backend import GraphBackend, GraphSession
from vjepa_planner.backends.graphs import Graph
from vjepa_planner.backends.model_graphs import ModelGraphs
from vjepa_planner.errors import CheckpointError, InvalidInputError
from vjepa_planner.types import FloatArray

# Device type -> execution provider. ONNX Runtime calls what computes a provider.
_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
_CPU_PRECISIONS = ('float32', 'float16')  # its CPU kernels know no products of bfloat16

# Activations of one chunk [bytes]: on a CPU about what its caches hold, else a part of the memory.
_CHUNK_MEMORY = {'cpu': 8 * 2**20, 'cuda': 4 * 2**30}

# What is cheap, and computes shapes: the CUDA provider itself leaves it to the CPU.
_SHAPE_OPERATORS = frozenset(
    {'Shape', 'Gather', 'Concat', 'Slice', 'Unsqueeze', 'Squeeze', 'Cast'}
)


class OnnxRuntimeBackend(GraphBackend[ort.OrtValue]):
    """Encoder and AC predictor as ONNX graphs.

    Attributes:
        provider: The execution provider that all graphs run on.
    """

    def __init__(self, graphs: ModelGraphs, device: str = 'auto') -> None:
        """Choose the provider.

        Args:
            graphs: Of the model.
            device: ``'auto'``, ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...

        Raises:
            InvalidInputError: The device is not available, or lacks the precision.
        """
        super().__init__(graphs)
        self._type, self._index = _resolve_device(device)
        if self._type == 'cpu' and graphs.precision not in _CPU_PRECISIONS:
            raise InvalidInputError(
                f'ONNX Runtime on a CPU computes in {" or ".join(_CPU_PRECISIONS)} only, got '
                f'precision {graphs.precision!r}. That needs device cuda.'
            )
        self.provider = _PROVIDERS[self._type]
        self.name = f'ONNX Runtime {ort.__version__} with {self.provider}'
        self.device = 'cpu' if self._type == 'cpu' else f'cuda:{self._index}'
        self.chunk_memory = _CHUNK_MEMORY[self._type]

    @classmethod
    def load(cls, path: Path, device: str, precision: str) -> OnnxRuntimeBackend:
        """Load a model directory with graphs, or any checkpoint where torch is installed."""
        check_precision(precision)
        return cls(ModelGraphs(path, precision), device)

    def open_session(self, graph: Graph) -> GraphSession[ort.OrtValue]:
        """Load a graph; see :class:`GraphBackend`."""
        path, weights = self._graphs.file(graph), self._graphs.weights(graph)
        options = _session_options(weights.parent)
        provider = (self.provider, {'device_id': self._index} if self._type == 'cuda' else {})
        try:
            session = ort.InferenceSession(path.read_bytes(), options, providers=[provider])
        except Exception as error:  # its exceptions have no common base
            raise CheckpointError(
                f'ONNX Runtime {ort.__version__} cannot load {path}: {str(error).splitlines()[0]}'
            ) from error
        _check_provider(session, self.provider)
        return _Session(session, self._type, self._index)


class _Session(GraphSession[ort.OrtValue]):
    """A session whose inputs and outputs stay on its device."""

    def __init__(self, session: ort.InferenceSession, device: str, index: int) -> None:
        self._session = session
        self._device = device
        self._index = index

    def upload(self, array: FloatArray) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(array, self._device, self._index)

    def run(
        self, inputs: Mapping[str, ort.OrtValue], outputs: tuple[str, ...]
    ) -> tuple[ort.OrtValue, ...]:
        binding = self._session.io_binding()
        for argument in self._session.get_inputs():
            if argument.name in inputs:
                binding.bind_ortvalue_input(argument.name, inputs[argument.name])
        for name in outputs:
            binding.bind_output(name, self._device, self._index)
        self._session.run_with_iobinding(binding)
        return tuple(binding.get_outputs())

    def download(self, value: ort.OrtValue) -> FloatArray:
        array: FloatArray = value.numpy()
        return array


def _session_options(weights_folder: Path) -> ort.SessionOptions:
    options = ort.SessionOptions()
    for key, value in {
        # The graph may lie in the cache; the weights that it refers to lie here.
        'session.model_external_initializers_file_folder_path': str(weights_folder),
        # Threads that wait by turning round take the cores from the other nodes.
        'session.intra_op.allow_spinning': '0',
        'session.record_ep_graph_assignment_info': '1',
    }.items():
        options.add_session_config_entry(key, value)
    options.log_severity_level = 3  # errors
    # Of a list, as OpenMP takes it, the outermost level counts. 0: all cores.
    threads = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0].strip()
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    return options


def _resolve_device(device: str) -> tuple[str, int]:
    """Return the type of a device and its index."""
    kind, colon, index = device.partition(':')
    available = ort.get_available_providers()
    if device == 'auto':
        kind = 'cuda' if _PROVIDERS['cuda'] in available else 'cpu'
    if kind not in _PROVIDERS or bool(colon) != index.isdecimal():
        raise InvalidInputError(
            f'device {device!r} is not known. Use auto, cpu, cuda, cuda:1, ...'
        )
    if _PROVIDERS[kind] not in available:
        raise InvalidInputError(
            f'device {device!r} is not available: this ONNX Runtime {ort.__version__} has no '
            f'{_PROVIDERS[kind]}, only {", ".join(available)}. On a machine with an NVIDIA GPU: '
            'pip uninstall onnxruntime && pip install onnxruntime-gpu.'
        )
    return kind, int(index or 0)


def _check_provider(session: ort.InferenceSession, provider: str) -> None:
    """Refuse what ONNX Runtime does silently: fall back to another provider, whole or in part."""
    got = session.get_providers()
    if provider not in got:
        raise InvalidInputError(
            f'ONNX Runtime could not use {provider} and fell back to {", ".join(got)}. Check the '
            'NVIDIA driver and the CUDA and cuDNN versions that onnxruntime-gpu needs, or use '
            'device cpu.'
        )
    elsewhere = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider
        for node in part.get_nodes()
    } - _SHAPE_OPERATORS
    if elsewhere:
        raise InvalidInputError(
            f'{provider} does not execute the operators {", ".join(sorted(elsewhere))}, which '
            'ONNX Runtime would compute on the CPU. Use a newer onnxruntime-gpu, another '
            'precision, or device cpu.'
        )
