# SPDX-License-Identifier: Apache-2.0
"""What every backend must do, on the numbers of the official code."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.backends import available_backends, backend_class
from vjepa_planner.energy import energy
from vjepa_planner.errors import InvalidInputError, MissingDependencyError, UnknownNameError

TOLERANCE = 1e-5


# TensorRT has no CPU to run on.
DEVICES = {'tensorrt': 'cuda'}


@pytest.fixture(scope='module', params=available_backends())
def backend(request, official):
    try:
        engine = backend_class(request.param)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return engine.load(official.ac_checkpoint, DEVICES.get(request.param, 'cpu'), 'float32')


@pytest.fixture(scope='module')
def rollout(official):
    """Context, states before each action, actions, goal."""
    arrays = official.arrays
    return (
        arrays['rollout_context'][0],
        arrays['rollout_poses'][:, :-1].astype(np.float64),
        arrays['rollout_actions'].astype(np.float64),
        arrays['goal'][0],
    )


def test_embeddings_are_the_official_ones_layer_normalised(backend, official):
    tokens = official.arrays['enc_out_2f']
    mean = tokens.mean(-1, keepdims=True)
    expected = (tokens - mean) / np.sqrt(tokens.var(-1, keepdims=True) + 1e-5)
    embeddings = backend.encode(official.arrays['enc_in_2f'])
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, atol=TOLERANCE)


def test_a_batch_is_encoded_like_its_parts(backend, official):
    clips = np.tile(official.arrays['enc_in_2f'], (9, 1, 1, 1, 1))
    np.testing.assert_allclose(
        backend.encode(clips)[[0, 17]], backend.encode(clips[:2]), atol=TOLERANCE
    )


def test_rollouts_feed_predictions_back_as_the_official_code_does(backend, rollout, official):
    context, states, actions, _ = rollout
    predicted = backend.rollout(context, states, actions)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, official.arrays['rollout_reps'][:, 1:], atol=TOLERANCE)


def test_energies_are_the_official_ones(backend, rollout, official):
    context, states, actions, goal = rollout
    energies = backend.rollout_energy(*rollout)
    assert energies.shape == (len(actions),)
    np.testing.assert_allclose(energies, official.arrays['rollout_energy_l1'], atol=TOLERANCE)
    last = backend.rollout(context, states, actions)[:, -1]
    np.testing.assert_allclose(energies, energy(last, goal), atol=1e-6)


@pytest.mark.parametrize('horizon', [1, 2])
def test_energies_do_not_depend_on_the_other_candidates(backend, rollout, horizon):
    context, states, actions, goal = rollout
    many = np.tile(actions[:, :horizon], (60, 1, 1))
    before = np.tile(states[:, :horizon], (60, 1, 1))
    together = backend.rollout_energy(context, before, many, goal)
    few = backend.rollout_energy(context, states[:, :horizon], actions[:, :horizon], goal)
    np.testing.assert_allclose(together, np.tile(few, 60), atol=1e-6)


def test_it_says_what_computes_and_where(backend):
    assert backend.name
    assert backend.device.partition(':')[0] in ('cpu', 'cuda')


def test_inputs_are_not_changed(backend, rollout):
    copies = [array.copy() for array in rollout]
    backend.rollout_energy(*rollout)
    for array, copy in zip(rollout, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_shapes_that_do_not_fit_are_refused(backend, rollout):
    context, states, actions, goal = rollout
    for wrong in (
        (context[None], states, actions, goal),
        (context, states[:, :1], actions, goal),
        (context, states[:0], actions[:0], goal),
        (context, states, actions, goal[:1]),
    ):
        with pytest.raises(InvalidInputError):
            backend.rollout_energy(*wrong)


def test_a_checkpoint_without_ac_predictor_encodes_but_does_not_plan(backend, official, rollout):
    pytest.importorskip('torch')
    backend = type(backend).load(official.pretraining_checkpoint, 'cpu', 'float32')
    assert len(backend.encode(official.arrays['enc_in_2f'])) == 2
    with pytest.raises(InvalidInputError, match='no action-conditioned predictor'):
        backend.rollout_energy(*rollout)


def test_small_chunks_give_the_same_energies(official, rollout, monkeypatch):
    pytest.importorskip('torch')
    from vjepa_planner.backends import torch_backend

    backend = backend_class('torch').load(official.ac_checkpoint, 'cpu', 'float32')
    whole = backend.rollout_energy(*rollout)
    monkeypatch.setitem(torch_backend._CHUNK_MEMORY, 'cpu', 1)
    np.testing.assert_allclose(backend.rollout_energy(*rollout), whole, atol=1e-6)


def test_bfloat16_ranks_like_float32_where_energies_differ(official, rollout):
    pytest.importorskip('torch')
    context, states, actions, _ = rollout
    exact = backend_class('torch').load(official.ac_checkpoint, 'cpu', 'float32')
    rough = backend_class('torch').load(official.ac_checkpoint, 'cpu', 'bfloat16')
    goal = exact.rollout(context, states, actions)[2, -1]  # candidate 2 is the right one
    assert np.argmin(rough.rollout_energy(context, states, actions, goal)) == 2
    assert rough.encode(official.arrays['enc_in_2f']).dtype == np.float32


@pytest.mark.parametrize(
    ('device', 'precision'), [('abacus', 'float32'), ('cuda:99', 'float32'), ('cpu', 'int3')]
)
def test_devices_and_precisions_that_are_not_there_are_refused(official, device, precision):
    pytest.importorskip('torch')
    with pytest.raises(InvalidInputError):
        backend_class('torch').load(official.ac_checkpoint, device, precision)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_energies(official, rollout):
    torch = pytest.importorskip('torch')
    if not torch.cuda.is_available():
        pytest.skip('no NVIDIA GPU')
    backend = backend_class('torch').load(official.ac_checkpoint, 'auto', 'float32')
    assert backend.device.startswith('cuda')
    np.testing.assert_allclose(
        backend.rollout_energy(*rollout), official.arrays['rollout_energy_l1'], atol=1e-4
    )


def test_an_unknown_backend_is_refused_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'torch'"):
        backend_class('trch')
