# SPDX-License-Identifier: Apache-2.0
"""Training a predictor on the embeddings of a frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
import json
from pathlib import Path

import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import (
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    load_networks,
)
from vjepa_planner.training import run as training_run
from vjepa_planner.training import train_predictor as module
from vjepa_planner.training.export import export_model
from vjepa_planner.training.train_predictor import PredictorTrainingConfig, train_predictor

SIZES = {'img_size': (32, 32), 'num_frames': 2, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
CONFIG = PredictorTrainingConfig(steps=60, batch_size=8, learning_rate=5e-3, bfloat16=False)


@pytest.fixture(autouse=True)
def log_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, '_SAVE_EVERY', 4)
    monkeypatch.setattr(module, '_LOG_EVERY', 1)


def make_networks(seed: int = 0, size: int = 32) -> tuple[Encoder, ACPredictor]:
    torch.manual_seed(seed)
    sizes = SIZES | {'img_size': (size, size)}
    predictor = ACPredictor(ACPredictorConfig(**sizes, predictor_embed_dim=32))
    return Encoder(EncoderConfig(**sizes)), predictor


def train(
    episodes: Episodes, directory: Path, config: PredictorTrainingConfig = CONFIG
) -> Iterator[tuple[int, str]]:
    return train_predictor(episodes, *make_networks(), config, directory)


def log(directory: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (directory / 'log.jsonl').open()]
    return [{name: line[name] for name in line if name != 'seconds'} for line in lines]


def test_both_losses_fall_and_the_encoder_stays_as_it_was(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    encoder, predictor = make_networks()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    for _ in train_predictor(tiny_episodes, encoder, predictor, CONFIG, tmp_path):
        pass
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    lines = log(tmp_path)
    losses = [line for line in lines if 'one_step' in line]
    for name in ('one_step', 'two_steps'):
        assert losses[-1][name] < 0.5 * losses[0][name]
    assert set(lines[-1]) == {
        'step',
        'validation_one_step',
        'validation_two_steps',
        'validation_copy',
        'validation_shuffled',
    }
    assert lines[-1]['validation_one_step'] < 0.5 * losses[0]['one_step']


def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(
    tiny_episodes: Episodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, '_VALIDATE_EVERY', 3)  # validation must not disturb training
    config = PredictorTrainingConfig(steps=10, batch_size=4)
    for _ in train(tiny_episodes, tmp_path / 'whole', config):
        pass
    parts = train(tiny_episodes, tmp_path / 'parts', config)
    for _ in takewhile(lambda progress: progress[0] < 6, parts):
        pass
    assert next(train(tiny_episodes, tmp_path / 'parts', config))[0] == 4  # the last one saved
    for _ in train(tiny_episodes, tmp_path / 'parts', config):
        pass
    assert log(tmp_path / 'parts') == log(tmp_path / 'whole')


def test_the_exported_model_has_the_frozen_encoder_and_the_trained_predictor(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    encoder, predictor = make_networks()
    config = PredictorTrainingConfig(steps=2, batch_size=4)
    for _ in train_predictor(tiny_episodes, encoder, predictor, config, tmp_path):
        pass
    export_model(
        tmp_path, encoder.config, predictor.config, {}, encoder_weights=encoder.state_dict()
    )
    exported = load_networks(tmp_path / 'model')
    for mine, theirs in ((encoder, exported.encoder), (predictor, exported.predictor)):
        assert theirs is not None
        for name, tensor in theirs.state_dict().items():
            torch.testing.assert_close(tensor, mine.state_dict()[name], rtol=0, atol=0)


def test_episodes_that_cannot_be_trained_on_are_refused(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    short = Episodes(
        images=tiny_episodes.images[:, :2],
        states=tiny_episodes.states[:, :2],
        seeds=tiny_episodes.seeds,
    )
    with pytest.raises(InvalidInputError, match='at least 3 frames, these have 2'):
        next(train(short, tmp_path))
    with pytest.raises(InvalidInputError, match=r'images of \(64, 64\) px.* have \(32, 32\)'):
        next(train_predictor(tiny_episodes, *make_networks(size=64), CONFIG, tmp_path))
