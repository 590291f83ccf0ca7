# SPDX-License-Identifier: Apache-2.0
"""What both trainings share: schedule, state, log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.training import run as training_run
from vjepa_planner.training.run import DivergedError, OptimiserConfig, TrainingRun

CONFIG = OptimiserConfig(steps=12, batch_size=1, learning_rate=0.1)


@pytest.fixture(autouse=True)
def save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, '_SAVE_EVERY', 4)


def make_modules(width: int = 3) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({'layer': nn.Linear(width, 1)})


def train(run: TrainingRun, until: int) -> list[float]:
    """Fit noise with noise, so that every step depends on both random generators."""
    losses = []
    while run.step < until:
        x = torch.randn(5, 3, generator=run.generator)
        y = torch.from_numpy(run.rng.normal(size=(5, 1)))
        loss = (run.modules['layer'](x) - y).square().mean().float()
        run.apply(loss)
        run.log(loss=loss.item())
        losses.append(loss.item())
    return losses


def logged_steps(directory: Path) -> list[int]:
    return [json.loads(line)['step'] for line in (directory / 'log.jsonl').open()]


def test_an_interrupted_run_goes_on_to_the_same_numbers_and_log(tmp_path: Path) -> None:
    whole = train(TrainingRun(make_modules(), CONFIG, tmp_path / 'whole'), 12)
    first = train(TrainingRun(make_modules(), CONFIG, tmp_path / 'parts'), 6)  # saved at 4
    resumed = TrainingRun(make_modules(), CONFIG, tmp_path / 'parts')
    assert resumed.step == 4
    assert first[:4] + train(resumed, 12) == whole
    assert logged_steps(tmp_path / 'parts') == logged_steps(tmp_path / 'whole')
    assert logged_steps(tmp_path / 'whole') == list(range(1, 13))


def test_a_run_that_never_saved_starts_again_with_an_empty_log(tmp_path: Path) -> None:
    train(TrainingRun(make_modules(), CONFIG, tmp_path), 3)
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    assert run.step == 0
    train(run, 2)
    assert logged_steps(tmp_path) == [1, 2]


def test_the_time_of_earlier_parts_counts(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    train(run, 3)
    before = run.seconds
    train(run, 4)  # saved here
    assert 0 < before < TrainingRun(make_modules(), CONFIG, tmp_path).seconds


@pytest.mark.parametrize('what', ['loss', 'gradient'])
def test_a_run_that_diverges_stops_with_weights_and_state_intact(
    tmp_path: Path, what: str
) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    train(run, 5)
    weights = {name: tensor.clone() for name, tensor in run.modules.state_dict().items()}
    state = (tmp_path / 'state.pt').read_bytes()
    output = run.modules['layer'](torch.ones(1, 3)).sum()
    bad = output * torch.nan if what == 'loss' else (output - output.detach()).abs().sqrt()
    with pytest.raises(DivergedError, match=rf'{what} became nan at step 5.*lower learning rate'):
        run.apply(bad)
    assert (tmp_path / 'state.pt').read_bytes() == state
    for name, tensor in run.modules.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)


def test_a_directory_of_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    train(TrainingRun(make_modules(), CONFIG, tmp_path), 4)
    before = (tmp_path / 'state.pt').read_bytes(), (tmp_path / 'log.jsonl').read_bytes()
    other = OptimiserConfig(steps=20, batch_size=1, learning_rate=0.1)
    with pytest.raises(InvalidInputError, match=r'other settings \(steps 12, now 20\)'):
        TrainingRun(make_modules(), other, tmp_path)
    with pytest.raises(InvalidInputError, match='sizes of the networks'):
        TrainingRun(make_modules(width=4), CONFIG, tmp_path)
    assert before == ((tmp_path / 'state.pt').read_bytes(), (tmp_path / 'log.jsonl').read_bytes())


def test_the_learning_rate_warms_up_and_decays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, '_WARMUP_STEPS', 4)
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    rates = []
    for step in range(1, 13):
        train(run, step)
        rates.append(run.optimiser.param_groups[0]['lr'])
    assert rates[0] == pytest.approx(0.1 / 4, rel=0.01)
    assert max(rates) == rates[3] <= 0.1
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.1 * 0.05


def test_weights_decay_in_matrices_only(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    decay = {len(g['params'][0].shape): g['weight_decay'] for g in run.optimiser.param_groups}
    assert decay == {2: CONFIG.weight_decay, 1: 0.0}


@pytest.mark.parametrize('wrong', [{'steps': 0}, {'batch_size': 0}, {'learning_rate': 0.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match='must be positive'):
        OptimiserConfig(**{'steps': 1, 'batch_size': 1, **wrong})
