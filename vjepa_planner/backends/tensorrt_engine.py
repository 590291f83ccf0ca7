# SPDX-License-Identifier: Apache-2.0
"""Builds TensorRT engines from graphs, for TensorRT 10.12 and later, 11 included.

Networks are strongly typed: what is computed in are the graph's own number formats. (Version 11
has nothing else; before, TensorRT chose half precision where it liked, with wrong results.)
"""

from __future__ import annotations

from pathlib import Path

import tensorrt as trt
from tqdm import tqdm

from vjepa_planner.backends.graph_files import atomic_path
from vjepa_planner.backends.graphs import Graph
from vjepa_planner.errors import CheckpointError

LOGGER = trt.Logger(trt.Logger.ERROR)


def build_engine(
    graph: Graph, file: Path, weights_folder: Path, batches: tuple[int, ...], timing_cache: Path
) -> bytes:
    """Build an engine. This takes minutes for a large network.

    Args:
        graph: Its inputs are known by this.
        file: The ONNX file.
        weights_folder: Where the weights lie that it refers to.
        batches: Sizes of batch, each with kernels of its own.
        timing_cache: Kernel timings of earlier builds, used and updated.

    Raises:
        CheckpointError: TensorRT cannot parse the graph or build it.
        KeyboardInterrupt: The user did not want to wait.
    """
    builder = trt.Builder(LOGGER)
    # Version 11 accepts the flag and is always strongly typed.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, LOGGER)
    # The path tells where external weights are looked for.
    if not parser.parse(file.read_bytes(), str(weights_folder / file.name)):
        errors = '; '.join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise CheckpointError(f'TensorRT {trt.__version__} cannot parse {file}: {errors}')
    config = builder.create_builder_config()
    for batch in batches:
        config.add_optimization_profile(_profile(builder, network, graph, batch))
    progress = _Progress(graph.name)
    config.progress_monitor = progress
    known = timing_cache.read_bytes() if timing_cache.is_file() else b''
    # None where it is damaged: then as if there were none.
    cache = config.create_timing_cache(known) or config.create_timing_cache(b'')
    config.set_timing_cache(cache, ignore_mismatch=True)
    plan = builder.build_serialized_network(network, config)
    if progress.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        raise CheckpointError(
            f'TensorRT {trt.__version__} could not build {file}; its messages are above. Most '
            'often the memory of the GPU is too small: close what else uses it.'
        )
    timing_cache.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(timing_cache) as part:
        part.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def load_engine(plan: bytes) -> trt.ICudaEngine | None:
    """Return an engine from its serialised form, None where this TensorRT refuses it."""
    return trt.Runtime(LOGGER).deserialize_cuda_engine(plan)  # which keeps the runtime alive


def _profile(
    builder: trt.Builder, network: trt.INetworkDefinition, graph: Graph, batch: int
) -> trt.IOptimizationProfile:
    """Return the profile of one size of batch: static shapes, which are faster than open ones."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.name in graph.batched_inputs:
            shape = (batch, *tuple(tensor.shape)[1:])
            profile.set_shape(tensor.name, shape, shape, shape)
    return profile


class _Progress(trt.IProgressMonitor):  # type: ignore[misc]
    """Shows the outermost phase of a build as a bar.

    TensorRT swallows exceptions of its callbacks, and with them Ctrl-C.

    Attributes:
        interrupted: Whether Ctrl-C ended the build.
    """

    def __init__(self, name: str) -> None:
        trt.IProgressMonitor.__init__(self)  # pybind11 needs it by name
        self.interrupted = False
        self._name = name
        self._outermost = ''
        self._bar: tqdm[None] | None = None

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        if parent_phase is None:
            self._outermost = phase_name
            self._bar = tqdm(total=num_steps, desc=f'{self._name}: {phase_name}', unit='step')

    def step_complete(self, phase_name: str, step: int) -> bool:
        try:
            if phase_name == self._outermost and self._bar is not None:
                self._bar.update()
        except KeyboardInterrupt:
            self.interrupted = True
        return not self.interrupted

    def phase_finish(self, phase_name: str) -> None:
        if phase_name == self._outermost and self._bar is not None:
            self._bar.close()
