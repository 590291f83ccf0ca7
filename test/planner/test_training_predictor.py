# SPDX-License-Identifier: Apache-2.0
"""Training a predictor on the embeddings of a frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import (
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    load_networks,
)
from vjepa_planner.training.export import export_model
from vjepa_planner.training.features import Features
from vjepa_planner.training.loop import Intervals
from vjepa_planner.training.losses import normalise
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.run import read_log
from vjepa_planner.training.train_predictor import (
    PredictorObjective,
    PredictorStage,
    PredictorTrainingConfig,
    simulator_config,
    train_predictor,
)

SIZES: dict[str, Any] = {
    'img_size': (32, 32),
    'num_frames': 2,
    'embed_dim': 32,
    'depth': 1,
    'num_heads': 2,
}
CONFIG = PredictorTrainingConfig(
    steps=60, batch_size=8, learning_rate=5e-3, frames=4, bfloat16=False
)
OFTEN = Intervals(log=1, evaluate=250, save=4)


def make_networks(seed: int = 0, size: int = 32) -> tuple[Encoder, ACPredictor]:
    torch.manual_seed(seed)
    sizes = SIZES | {'img_size': (size, size)}
    predictor = ACPredictor(ACPredictorConfig(**sizes, predictor_embed_dim=32))
    return Encoder(EncoderConfig(**sizes)), predictor


def train(
    episodes: Episodes,
    directory: Path,
    config: PredictorTrainingConfig = CONFIG,
    intervals: Intervals = OFTEN,
    **options: Any,
) -> Iterator[tuple[int, str]]:
    return train_predictor(episodes, *make_networks(), config, directory, intervals, **options)


def log(directory: Path) -> list[dict[str, float]]:
    lines = read_log(directory / 'log.jsonl')
    return [{name: line[name] for name in line if name != 'seconds'} for line in lines]


class Recorder(nn.Module):
    """Remembers its inputs; predicts numbers that say which call and step they are from."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []
        self.outputs: list[Tensor] = []

    def forward(self, tokens: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        self.calls.append((tokens, actions, states))
        generator = torch.Generator().manual_seed(len(self.calls))
        self.outputs.append(torch.randn(tokens.shape, generator=generator, requires_grad=True))
        return self.outputs[-1]


def window(frames: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Return embeddings (B, T, N, D), actions (B, T - 1, 7) and states (B, T, 7)."""
    generator = torch.Generator().manual_seed(0)
    return (
        normalise(torch.randn(2, frames, 4, 8, generator=generator)),
        torch.randn(2, frames - 1, 7, generator=generator),
        torch.randn(2, frames, 7, generator=generator),
    )


def test_teacher_forcing_sees_all_true_frames_but_the_last() -> None:
    recorder = Recorder()
    embeddings, actions, states = window()
    config = PredictorTrainingConfig(frames=5, bfloat16=False)
    PredictorObjective(recorder, config)(embeddings, actions, states)
    tokens, seen_actions, seen_states = recorder.calls[0]
    assert torch.equal(tokens.view(2, 4, 4, 8), embeddings[:, :-1])
    assert torch.equal(seen_actions, actions)
    assert torch.equal(seen_states, states[:, :-1])


def test_the_second_step_of_a_rollout_sees_frame_0_and_the_prediction_of_frame_1() -> None:
    recorder = Recorder()
    embeddings, actions, states = window()
    config = PredictorTrainingConfig(frames=5, bfloat16=False)
    PredictorObjective(recorder, config)(embeddings, actions, states)
    assert len(recorder.calls) == 2
    tokens, seen_actions, seen_states = recorder.calls[1]
    seen = tokens.view(2, 2, 4, 8)
    forced = normalise(recorder.outputs[0]).view(2, 4, 4, 8)
    assert torch.equal(seen[:, 0], embeddings[:, 0])
    # Of frame 1. The official code had the one of frame 2 there, forced[:, 1], before its PR 25.
    assert torch.equal(seen[:, 1], forced[:, 0])
    assert not torch.equal(seen[:, 1], forced[:, 1])
    assert torch.equal(seen_actions, actions[:, :2])
    assert torch.equal(seen_states, states[:, :2])


def test_a_third_step_sees_both_predictions_before_it() -> None:
    recorder = Recorder()
    embeddings, actions, states = window()
    config = PredictorTrainingConfig(frames=5, rollout_steps=3, bfloat16=False)
    PredictorObjective(recorder, config)(embeddings, actions, states)
    tokens, seen_actions, _ = recorder.calls[2]
    seen = tokens.view(2, 3, 4, 8)
    assert torch.equal(seen[:, 0], embeddings[:, 0])
    assert torch.equal(seen[:, 1], normalise(recorder.outputs[0]).view(2, 4, 4, 8)[:, 0])
    assert torch.equal(seen[:, 2], normalise(recorder.outputs[1]).view(2, 2, 4, 8)[:, 1])
    assert torch.equal(seen_actions, actions[:, :3])


def test_the_loss_is_that_of_teacher_forcing_plus_that_of_both_rollout_steps() -> None:
    recorder = Recorder()
    embeddings, actions, states = window()
    config = PredictorTrainingConfig(frames=5, bfloat16=False)
    terms = PredictorObjective(recorder, config)(embeddings, actions, states)
    forced = normalise(recorder.outputs[0]).view(2, 4, 4, 8)
    second = normalise(recorder.outputs[1]).view(2, 2, 4, 8)[:, 1]
    one_step = (forced - embeddings[:, 1:]).abs().mean()
    rolled = torch.stack((forced[:, 0], second), 1)
    rollout = (rolled - embeddings[:, 1:3]).abs().mean()
    torch.testing.assert_close(terms['one_step'], one_step)
    torch.testing.assert_close(terms['rollout'], rollout)
    torch.testing.assert_close(terms['loss'], one_step + rollout)


def test_the_gradient_of_the_second_step_flows_through_the_first_prediction() -> None:
    _, predictor = make_networks()
    objective = PredictorObjective(predictor, CONFIG)
    embeddings = normalise(torch.randn(2, 4, 4, 32))
    inputs = (torch.randn(2, 3, 7), torch.randn(2, 4, 7))
    first_action = inputs[0].clone().requires_grad_(True)
    objective(embeddings, first_action, inputs[1])['rollout'].backward()
    # The last action concerns neither frame 1 nor frame 2.
    assert first_action.grad[:, 0].abs().max() > 0
    assert first_action.grad[:, 2].abs().max() == 0


def test_errors_by_context_are_those_of_each_position_of_the_window() -> None:
    recorder = Recorder()
    embeddings, actions, states = window()
    config = PredictorTrainingConfig(frames=5, bfloat16=False)
    errors = PredictorObjective(recorder, config).errors_by_context(embeddings, actions, states)
    forced = normalise(recorder.outputs[0]).view(2, 4, 4, 8)
    assert errors.shape == (4,)
    for k in range(4):
        expected = (forced[:, k] - embeddings[:, k + 1]).abs().mean()
        torch.testing.assert_close(errors[k], expected)


def test_without_weight_the_rollout_does_not_count() -> None:
    config = PredictorTrainingConfig(frames=5, bfloat16=False, rollout_weight=0.0)
    terms = PredictorObjective(Recorder(), config)(*window())
    torch.testing.assert_close(terms['loss'], terms['one_step'])


def test_both_losses_fall_and_the_encoder_stays_as_it_was(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    encoder, predictor = make_networks()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    for _ in train_predictor(tiny_episodes, encoder, predictor, CONFIG, tmp_path, OFTEN):
        pass
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    lines = log(tmp_path)
    losses = [line for line in lines if 'one_step' in line]
    for name in ('one_step', 'two_steps', 'rollout'):
        assert losses[-1][name] < 0.5 * losses[0][name]
    checks = [line for line in lines if 'validation_one_step' in line]
    assert set(checks[-1]) == {
        'step',
        'validation_one_step',
        'validation_two_steps',
        'validation_copy',
        'validation_shuffled',
        'validation_context_1',
        'validation_context_2',
        'validation_context_3',
    }
    by_context = [checks[-1][f'validation_context_{k}'] for k in (1, 2, 3)]
    assert np.mean(by_context) == pytest.approx(checks[-1]['validation_one_step'], rel=1e-3)
    assert checks[-1]['validation_one_step'] < 0.5 * checks[0]['validation_one_step']


def test_actions_of_other_windows_predict_worse_once_actions_are_all_there_is(
    tmp_path: Path,
) -> None:
    """The next image is bright where the gripper closes, from any image before."""
    rng = np.random.default_rng(0)
    closed = rng.integers(0, 2, (60, 4)).astype(np.float32)
    images = np.empty((60, 4, 32, 32, 3), np.uint8)
    images[:] = (40 + 180 * closed)[..., None, None, None]
    images[:, :, :16] = 128
    states = np.zeros((60, 4, 7), np.float32)
    states[..., 6] = closed
    episodes = Episodes(images=images, states=states, seeds=np.arange(60))
    config = PredictorTrainingConfig(
        steps=150, batch_size=16, learning_rate=5e-3, frames=4, bfloat16=False
    )
    for _ in train(episodes, tmp_path, config):
        pass
    last = log(tmp_path)[-1]
    assert last['validation_shuffled'] > 1.3 * last['validation_one_step']
    assert last['validation_one_step'] < last['validation_copy']


def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    often = Intervals(log=1, evaluate=3, save=4)  # evaluation must not disturb training
    config = simulator_config(steps=10, batch_size=4)
    for _ in train(tiny_episodes, tmp_path / 'whole', config, often):
        pass
    parts = train(tiny_episodes, tmp_path / 'parts', config, often)
    for _ in takewhile(lambda progress: progress[0] < 6, parts):
        pass
    parts.close()
    resumed = [step for step, _ in train(tiny_episodes, tmp_path / 'parts', config, often)]
    assert [step for step in resumed if step] == [5, 6, 7, 8, 9, 10]  # it was saved at 4
    assert log(tmp_path / 'parts') == log(tmp_path / 'whole')


def test_the_exported_model_has_the_frozen_encoder_and_the_trained_predictor(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    encoder, predictor = make_networks()
    config = PredictorTrainingConfig(steps=2, batch_size=4, frames=4)
    for _ in train_predictor(tiny_episodes, encoder, predictor, config, tmp_path):
        pass
    weights = {name: tensor.clone() for name, tensor in predictor.state_dict().items()}
    export_model(tmp_path, encoder, make_networks(seed=9)[1], {}, 'best')
    exported = load_networks(tmp_path / 'model')
    assert exported.predictor is not None
    for mine, theirs in (
        (encoder.state_dict(), exported.encoder),
        (weights, exported.predictor),
    ):
        for name, tensor in theirs.state_dict().items():
            torch.testing.assert_close(tensor, mine[name], rtol=0, atol=0)


def test_episodes_that_cannot_be_trained_on_are_refused(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    short = Episodes(
        images=tiny_episodes.images[:, :2],
        states=tiny_episodes.states[:, :2],
        seeds=tiny_episodes.seeds,
    )
    with pytest.raises(InvalidInputError, match='at least 4 frames, these have 2'):
        next(train(short, tmp_path))
    networks = make_networks(size=64)
    with pytest.raises(InvalidInputError, match=r'images of \(64, 64\) px.* have \(32, 32\)'):
        next(train_predictor(tiny_episodes, *networks, CONFIG, tmp_path))


def test_windows_in_which_the_gripper_is_asked_to_move_are_drawn_as_often_as_wanted() -> None:
    commands = np.full((20, 8), np.nan, np.float32)
    commands[[3, 11], [0, 5]] = [0.9, -0.5]
    commands[7, 2] = 0.1  # hardly
    commands[19, 4] = 0.9  # held out
    states = np.zeros((20, 8, 7), np.float32)
    states[..., 0] = np.arange(20)[:, None]
    states[..., 1] = np.arange(8)
    episodes = Episodes(
        images=np.zeros((20, 8, 32, 32, 3), np.uint8),
        states=states,
        seeds=np.arange(20),
        gripper_commands=commands,
    )

    def drawn(share: float) -> list[tuple[int, int]]:
        config = simulator_config(steps=1, batch_size=400, gripper_share=share)
        features = Features(np.zeros((1, 20, 8, 4, 32), np.float16))
        predictor = make_networks()[1]
        stage = PredictorStage(episodes, features, predictor, config, Processes())
        _, _, seen = stage.draw(SimpleNamespace(rng=np.random.default_rng(0)))
        return [(int(row), int(start)) for row, start in seen[:, 0, :2]]

    moving = {(3, 0), (11, 4), (11, 5)}  # windows of 3 frames
    assert set(drawn(1.0)) == moving
    assert 0.4 < np.mean([window in moving for window in drawn(0.5)]) < 0.65
    assert np.mean([window in moving for window in drawn(0.0)]) < 0.1
    commands[:] = np.nan
    with pytest.raises(InvalidInputError, match=r'--gripper-share 0'):
        drawn(0.5)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'frames': 2}, 'got 2 steps and 2 frames'),
        ({'rollout_steps': 1}, 'at least 2 steps'),
        ({'rollout_loss': 'first'}, "'all' or 'last', got 'first'"),
        ({'rollout_weight': -1.0}, 'rollout_weight must be a number from 0 on, got -1.0'),
    ],
)
def test_impossible_windows_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        PredictorTrainingConfig(**wrong)
