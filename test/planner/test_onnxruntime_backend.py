# SPDX-License-Identifier: Apache-2.0
"""Which provider of ONNX Runtime computes, and that it says so."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

ort = pytest.importorskip('onnxruntime')
pytest.importorskip('torch')

from vjepa_planner.backends import onnxruntime_backend  # noqa: E402
from vjepa_planner.backends.onnxruntime_backend import OnnxRuntimeBackend  # noqa: E402
from vjepa_planner.errors import InvalidInputError  # noqa: E402

HAS_CUDA = 'CUDAExecutionProvider' in ort.get_available_providers()


@pytest.fixture(scope='module')
def backend(tiny_model):
    return OnnxRuntimeBackend.load(tiny_model, 'cpu', 'float32')


def test_it_names_the_provider_that_computes(backend):
    assert backend.provider == 'CPUExecutionProvider'
    assert backend.device == 'cpu'
    assert backend.name == f'ONNX Runtime {ort.__version__} with CPUExecutionProvider'


@pytest.mark.parametrize(('value', 'threads'), [('3', 3), ('2,1', 2), ('', 0), ('all', 0)])
def test_threads_are_counted_as_openmp_is_told_to(tmp_path, monkeypatch, value, threads):
    monkeypatch.setenv('OMP_NUM_THREADS', value)
    options = onnxruntime_backend._session_options(tmp_path)
    assert options.intra_op_num_threads == threads


@pytest.mark.skipif(HAS_CUDA, reason='this ONNX Runtime has CUDA')
def test_a_gpu_that_is_not_there_is_refused_and_nothing_else_is_taken(tiny_model):
    with pytest.raises(InvalidInputError, match=r'no CUDAExecutionProvider, only .*CPUExecution'):
        OnnxRuntimeBackend.load(tiny_model, 'cuda', 'float32')


def test_a_session_on_another_provider_than_asked_for_is_refused(tiny_model, monkeypatch):
    """As ONNX Runtime does it: it is asked for CUDA, warns, and computes on the CPU."""
    providers = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
    monkeypatch.setattr(onnxruntime_backend, '_PROVIDERS', providers)
    monkeypatch.setattr(ort, 'get_available_providers', lambda: [*providers.values()])
    backend = OnnxRuntimeBackend.load(tiny_model, 'cuda', 'float32')
    with (
        pytest.warns(UserWarning, match='CUDAExecutionProvider'),
        pytest.raises(InvalidInputError, match='fell back to CPU'),
    ):
        backend.features(np.zeros((1, 3, 2, 32, 32), np.float32))


@pytest.mark.parametrize('device', ['abacus', 'cuda:x', 'cpu:', 'tpu:0'])
def test_devices_that_do_not_exist_are_refused(tiny_model, device):
    with pytest.raises(InvalidInputError, match=r'is not known|is not available'):
        OnnxRuntimeBackend.load(tiny_model, device, 'float32')


def test_what_its_cpu_kernels_cannot_compute_is_refused_before_the_work(tiny_model):
    with pytest.raises(InvalidInputError, match='float32 or float16 only'):
        OnnxRuntimeBackend.load(tiny_model, 'cpu', 'bfloat16')


def test_small_chunks_and_fixed_batches_give_the_same_numbers(tiny_model, backend):
    rng = np.random.default_rng(0)
    context, goal = rng.normal(size=(2, 4, 32)).astype(np.float32)
    states, actions = rng.normal(size=(2, 11, 2, 7))
    arguments = (context, states, actions)
    clips = rng.normal(size=(5, 3, 2, 32, 32)).astype(np.float32)
    other = OnnxRuntimeBackend.load(tiny_model, 'cpu', 'float32')
    for other.chunk_memory, other.candidate_batches, other.image_batches in (
        (1, (), ()),
        (2**30, (1, 4), (1, 2)),
        (2**30, (16,), (8,)),
    ):
        np.testing.assert_allclose(
            other.rollout_energy(*arguments, goal),
            backend.rollout_energy(*arguments, goal),
            atol=1e-6,
        )
        np.testing.assert_allclose(
            other.rollout(*arguments), backend.rollout(*arguments), atol=1e-5
        )
        np.testing.assert_allclose(other.features(clips), backend.features(clips), atol=1e-5)


def test_nothing_is_reported_to_its_makers():
    """ONNX Runtime of 1.29 and later does so on Linux unless this is set before it is loaded."""
    code = (
        'import vjepa_planner.backends.onnxruntime_backend, os\n'
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {key: value for key, value in os.environ.items() if 'TELEMETRY' not in key}
    answer = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == '1'


@pytest.mark.gpu
def test_a_gpu_computes_every_node(tiny_model, backend):
    if not HAS_CUDA:
        pytest.skip('no CUDAExecutionProvider')
    on_gpu = OnnxRuntimeBackend.load(tiny_model, 'cuda', 'float32')
    clips = np.random.default_rng(0).normal(size=(2, 3, 2, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(on_gpu.features(clips), backend.features(clips), atol=1e-2)
    assert on_gpu.device == 'cuda:0'
