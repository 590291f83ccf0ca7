# SPDX-License-Identifier: Apache-2.0
"""TensorRT, on an NVIDIA GPU. torch holds the memory on the device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorrt as trt
import torch
from torch import Tensor

from vjepa_planner.backends.base import check_precision
from vjepa_planner.backends.engine_cache import EngineCache, EngineKey
from vjepa_planner.backends.graph_backend import GraphBackend, GraphSession
from vjepa_planner.backends.graph_files import sha256_of_file
from vjepa_planner.backends.graphs import EncoderGraph, Graph
from vjepa_planner.backends.model_graphs import ModelGraphs
from vjepa_planner.backends.tensorrt_engine import build_engine, load_engine
from vjepa_planner.cache import cache_folder
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.types import FloatArray


class TensorRTBackend(GraphBackend[Tensor]):
    """Encoder and AC predictor as TensorRT engines, which are built once and kept."""

    # Each size has kernels of its own: static shapes are a quarter faster than open ones.
    image_batches = (1, 2)
    candidate_batches = (1, 8, 32, 64, 128, 256)

    def __init__(self, graphs: ModelGraphs, device: str = 'auto') -> None:
        """Choose the GPU.

        Args:
            graphs: Of the model.
            device: ``'auto'``, ``'cuda'``, ``'cuda:1'``, ...

        Raises:
            InvalidInputError: There is no such GPU.
        """
        super().__init__(graphs)
        self._device = _resolve_device(device)
        self.name = f'TensorRT {trt.__version__}'
        self.device = str(self._device)
        self._cache = EngineCache(cache_folder() / 'engines')
        self._digests: dict[Path, str] = {}

    @classmethod
    def load(cls, path: Path, device: str, precision: str) -> TensorRTBackend:
        """Load a model directory, or any checkpoint; engines are built when first needed."""
        check_precision(precision)
        return cls(ModelGraphs(path, precision), device)

    def open_session(self, graph: Graph) -> GraphSession[Tensor]:
        """Load an engine, built now where there is none; see :class:`GraphBackend`."""
        with torch.cuda.device(self._device):
            kept = self._cache.load(self._key(graph))
            # Also built where a driver that changed refuses the one that was kept.
            engine = (kept and load_engine(kept)) or load_engine(self._build(graph))
            if engine is None:
                raise InvalidInputError(
                    f'TensorRT {trt.__version__} refuses the engine of {graph.name} that it built '
                    'itself; its messages are above.'
                )
            return _Session(engine, graph, self._batches(graph), self._device)

    def build_only(self, graph: Graph) -> Path:
        """Build the engine of a graph where there is none, without loading it.

        Returns:
            The engine's file.
        """
        key = self._key(graph)
        if self._cache.load(key) is None:
            with torch.cuda.device(self._device):
                self._build(graph)
        return self._cache.path(key)

    def _build(self, graph: Graph) -> bytes:
        key = self._key(graph)
        timings = cache_folder() / 'engines' / f'timings-{key.tensorrt}-{key.gpu}.cache'
        plan = build_engine(
            graph, self._graphs.file(graph), self._graphs.folder, key.batches, timings
        )
        self._cache.store(key, plan)
        return plan

    def _batches(self, graph: Graph) -> tuple[int, ...]:
        return self.image_batches if isinstance(graph, EncoderGraph) else self.candidate_batches

    def _key(self, graph: Graph) -> EngineKey:
        gpu = torch.cuda.get_device_properties(self._device)
        return EngineKey(
            graph=sha256_of_file(self._graphs.file(graph)),
            weights=self._digest_of_weights(self._graphs.weights(graph)),
            precision=self._graphs.precision,
            batches=self._batches(graph),
            tensorrt=trt.__version__,
            gpu=gpu.name.replace(' ', '-'),
            compute_capability=f'{gpu.major}.{gpu.minor}',
            cuda=str(torch.version.cuda),
        )

    def _digest_of_weights(self, path: Path) -> str:
        """Return the SHA-256 of gigabytes that several graphs share, computed once."""
        if path not in self._digests:
            self._digests[path] = sha256_of_file(path)
        return self._digests[path]


class _Session(GraphSession[Tensor]):
    """An engine with its execution context, on a stream of its own."""

    def __init__(
        self,
        engine: trt.ICudaEngine,
        graph: Graph,
        batches: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self._engine = engine
        self._context = engine.create_execution_context()
        if self._context is None:
            raise VjepaPlannerError(
                f'the memory of {device} is too small for {graph.name}: close what else uses it.'
            )
        self._graph = graph
        self._batches = batches
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._profile = -1

    def upload(self, array: FloatArray) -> Tensor:
        with torch.cuda.stream(self._stream):
            return torch.from_numpy(array).to(self._device)

    def run(self, inputs: Mapping[str, Tensor], outputs: tuple[str, ...]) -> tuple[Tensor, ...]:
        batch = len(inputs[self._graph.batched_inputs[0]])
        with torch.cuda.stream(self._stream):
            self._choose_profile(self._batches.index(batch))
            tensors = {name: inputs[name] for name in self._graph.inputs}
            for name, tensor in tensors.items():
                self._context.set_input_shape(name, tuple(tensor.shape))
            for name in self._graph.outputs:
                shape = tuple(self._context.get_tensor_shape(name))
                tensors[name] = torch.empty(shape, device=self._device)
            for name, tensor in tensors.items():
                self._context.set_tensor_address(name, tensor.data_ptr())
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise VjepaPlannerError(f'TensorRT could not execute {self._graph.name}.')
            self._stream.synchronize()  # before the inputs may be dropped
        return tuple(tensors[name] for name in outputs)

    def download(self, value: Tensor) -> FloatArray:
        array: FloatArray = value.cpu().numpy()
        return array

    def _choose_profile(self, profile: int) -> None:
        if profile == self._profile:
            return
        if not self._context.set_optimization_profile_async(profile, self._stream.cuda_stream):
            raise VjepaPlannerError(f'TensorRT has no profile {profile} of {self._graph.name}.')
        self._profile = profile


def _resolve_device(device: str) -> torch.device:
    if not torch.cuda.is_available():
        raise InvalidInputError(
            f'backend tensorrt needs an NVIDIA GPU and a CUDA build of torch, got device '
            f'{device!r} on a machine where torch finds none. Use backend onnxruntime or torch.'
        )
    try:
        resolved = torch.device('cuda' if device == 'auto' else device)
        if resolved.type != 'cuda':
            raise ValueError('it is not a GPU')
        torch.cuda.get_device_properties(resolved)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InvalidInputError(
            f'device {device!r} is not available for TensorRT: {str(error).splitlines()[0]}. '
            f'Use auto or one of cuda:0 .. cuda:{torch.cuda.device_count() - 1}.'
        ) from error
    return torch.device('cuda', resolved.index or 0)
