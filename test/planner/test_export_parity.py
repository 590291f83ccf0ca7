# SPDX-License-Identifier: Apache-2.0
"""The parity report passes what is the same and fails what is not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('torch')

from vjepa_planner.export.parity import (
    compare,
    rank_correlation,
    to_json,
    TOLERANCES,
)
from vjepa_planner.world_model import load_world_model


@pytest.fixture
def reference(tiny_model):
    return load_world_model(tiny_model, device='cpu')


def report(engine, reference, **options):
    return list(compare(engine, reference, TOLERANCES['float32'], candidates=32, **options))


def test_a_model_agrees_with_itself(tiny_model, reference):
    lines = report(load_world_model(tiny_model, device='cpu'), reference, horizon=2)
    assert [line.what for line in lines] == [
        'encoder',
        'predictor, 1 step',
        'energy, 1 step',
        'predictor, 2 steps',
        'energy, 2 steps',
    ]
    assert all(line.within and line.error == 0 for line in lines)
    assert [line.rank for line in lines if line.rank is not None] == pytest.approx([1, 1])


def test_a_model_that_only_encodes_is_compared_in_that(tiny_model, reference):
    (line,) = report(load_world_model(tiny_model, device='cpu'), reference, horizon=0)
    assert line.what == 'encoder'


@pytest.mark.parametrize('network', ['encoder', 'predictor'])
def test_a_small_change_of_one_weight_is_noticed_where_it_is(tiny_model, reference, network):
    engine = load_world_model(tiny_model, device='cpu')
    module = getattr(engine.backend.networks, network)
    norm = module.norm if network == 'encoder' else module.predictor_norm
    norm.bias[0] += 0.01
    lines = {line.what: line for line in report(engine, reference)}
    assert lines['encoder'].within == (network != 'encoder')
    assert not lines[f'{network}{", 1 step" * (network == "predictor")}'].within
    assert 'MISSED' in str(lines['predictor, 1 step']) or network == 'encoder'
    content = to_json(list(lines.values()), TOLERANCES['float32'])
    assert content['within'] is False


def test_numbers_that_are_none_are_not_within(tiny_model, reference):
    engine = load_world_model(tiny_model, device='cpu')
    engine.backend.networks.predictor.predictor_norm.bias[:] = np.nan
    lines = {line.what: line for line in report(engine, reference)}
    assert lines['encoder'].within
    assert not lines['predictor, 1 step'].within
    assert not lines['energy, 1 step'].within


def test_rank_correlation_is_spearmans():
    a = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    # 1 - 6 * sum(d^2) / (n (n^2 - 1)) with d = 0 0 0 1 1
    assert rank_correlation(a, [1, 2, 3, 5, 4]) == pytest.approx(1 - 6 * 2 / (5 * 24))
