# SPDX-License-Identifier: Apache-2.0
"""What all trainings share on disk: optimiser, state, log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.training.run import DivergedError, OptimiserConfig, read_log, TrainingRun
from vjepa_planner.training.schedules import SCHEDULES

CONFIG = OptimiserConfig(steps=12, batch_size=1, learning_rate=0.1, schedule='cosine')


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
        if run.step % 4 == 0:
            run.save()
        losses.append(loss.item())
    return losses


def logged_steps(directory: Path) -> list[int]:
    return [line['step'] for line in read_log(directory / 'log.jsonl')]


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


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    train(TrainingRun(make_modules(), CONFIG, tmp_path), 5)
    with (tmp_path / 'log.jsonl').open('a') as file:
        file.write('{"step": 5, "lo')
    assert logged_steps(tmp_path) == [1, 2, 3, 4, 5]
    TrainingRun(make_modules(), CONFIG, tmp_path)
    assert logged_steps(tmp_path) == [1, 2, 3, 4]


def test_a_half_written_state_does_not_replace_the_last_one(tmp_path: Path) -> None:
    train(TrainingRun(make_modules(), CONFIG, tmp_path), 4)
    (tmp_path / 'state.partial').write_bytes(b'half of it')
    assert TrainingRun(make_modules(), CONFIG, tmp_path).step == 4


def test_the_time_of_earlier_parts_counts(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    train(run, 3)
    before = run.seconds
    train(run, 4)  # saved here
    assert 0 < before < TrainingRun(make_modules(), CONFIG, tmp_path).seconds


def test_the_best_weights_are_those_of_the_lowest_score_also_over_an_interruption(
    tmp_path: Path,
) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    train(run, 2)
    run.save_if_best(0.5)
    best = run.modules['layer'].weight.clone()
    train(run, 4)
    run.save_if_best(0.7)
    run.save()
    resumed = TrainingRun(make_modules(), CONFIG, tmp_path)
    train(resumed, 6)
    resumed.save_if_best(0.6)
    saved = torch.load(tmp_path / 'best.pt', weights_only=True)
    assert (saved['step'], saved['score']) == (2, 0.5)
    assert torch.equal(saved['modules']['layer.weight'], best)
    resumed.save_if_best(0.4)
    assert torch.load(tmp_path / 'best.pt', weights_only=True)['step'] == 6


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
    other = OptimiserConfig(steps=20, batch_size=1, learning_rate=0.1, schedule='cosine')
    with pytest.raises(InvalidInputError, match=r'other settings \(steps 12, now 20\)'):
        TrainingRun(make_modules(), other, tmp_path)
    with pytest.raises(InvalidInputError, match='sizes of the networks'):
        TrainingRun(make_modules(width=4), CONFIG, tmp_path)
    assert before == ((tmp_path / 'state.pt').read_bytes(), (tmp_path / 'log.jsonl').read_bytes())


def test_the_learning_rate_follows_the_schedule(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    for step in range(1, 13):
        taken = run.apply(run.modules['layer'](torch.ones(1, 3)).sum())
        assert taken['learning_rate'] == 0.1 * SCHEDULES['cosine'](step, 12)
        assert {group['lr'] for group in run.optimiser.param_groups} == {taken['learning_rate']}


def test_long_gradients_are_shortened_and_logged_as_they_were(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    layer = run.modules['layer']
    taken = run.apply(100 * layer(torch.tensor([[2.0, 0.0, 0.0]])).sum())
    assert taken['gradient_norm'] == pytest.approx(100 * 5**0.5)  # of a weight and the bias
    shortened = torch.cat([p.grad.flatten() for p in layer.parameters()])
    assert shortened.norm().item() == pytest.approx(CONFIG.gradient_norm, rel=1e-4)


def test_weights_decay_in_matrices_only(tmp_path: Path) -> None:
    run = TrainingRun(make_modules(), CONFIG, tmp_path)
    decay = {len(g['params'][0].shape): g['weight_decay'] for g in run.optimiser.param_groups}
    assert decay == {2: CONFIG.weight_decay, 1: 0.0}


def test_what_is_frozen_is_not_trained_but_saved(tmp_path: Path) -> None:
    modules = make_modules()
    modules['frozen'] = nn.Linear(2, 2).requires_grad_(False)
    run = TrainingRun(modules, CONFIG, tmp_path)
    assert sum(len(group['params']) for group in run.optimiser.param_groups) == 2
    run.save()
    state = torch.load(tmp_path / 'state.pt', weights_only=True)
    assert 'frozen.weight' in state['modules']


def test_numbers_are_logged_with_six_digits_whatever_their_size(tmp_path: Path) -> None:
    TrainingRun(make_modules(), CONFIG, tmp_path).log(rate=1.23456789e-9, text='as it is')
    (line,) = [json.loads(line) for line in (tmp_path / 'log.jsonl').open()]
    assert line['rate'] == 1.23457e-9
    assert line['text'] == 'as it is'


@pytest.mark.parametrize(
    'wrong', [{'steps': 0}, {'batch_size': 0}, {'learning_rate': 0.0}, {'gradient_norm': 0.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match='must be positive'):
        OptimiserConfig(**{'steps': 1, 'batch_size': 1, 'learning_rate': 0.1, **wrong})


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UnknownNameError, match='cosine'):
        OptimiserConfig(steps=1, batch_size=1, learning_rate=0.1, schedule='cosin')
