# SPDX-License-Identifier: Apache-2.0
"""Training a tiny encoder by dynamics on a few recorded episodes, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.mpc import ModelPredictiveController
from vjepa_planner.networks import (
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    load_networks,
)
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.training.dynamics import DynamicsConfig
from vjepa_planner.training.export import (
    export_model,
    RECOMMENDED_PLANNER,
    SIMULATOR_SETTINGS,
)
from vjepa_planner.training.loop import Intervals
from vjepa_planner.training.probe import probe_encoder
from vjepa_planner.training.run import read_log
from vjepa_planner.training.train_encoder import train_encoder
from vjepa_planner.types import Goal, Observation
from vjepa_planner.world_model import load_world_model

SIZES: dict[str, Any] = {
    'img_size': (32, 32),
    'num_frames': 2,
    'embed_dim': 32,
    'depth': 1,
    'num_heads': 2,
}
CONFIG = DynamicsConfig(steps=80, batch_size=8, learning_rate=3e-3, bfloat16=False)


def make_networks() -> tuple[Encoder, ACPredictor]:
    torch.manual_seed(0)
    return (
        Encoder(EncoderConfig(**SIZES)),
        ACPredictor(ACPredictorConfig(**SIZES, predictor_embed_dim=32)),
    )


def train(
    episodes: Episodes, directory: Path, config: DynamicsConfig
) -> Iterator[tuple[int, str]]:
    intervals = Intervals(log=1, save=4)
    return train_encoder(episodes, *make_networks(), config, directory, intervals)


def log(directory: Path) -> list[dict[str, float]]:
    lines = read_log(directory / 'log.jsonl')
    return [{name: line[name] for name in line if name != 'seconds'} for line in lines]


@pytest.fixture(scope='module')
def finished(tiny_episodes: Episodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished run, with its model."""
    directory = tmp_path_factory.mktemp('encoder')
    steps = [step for step, _ in train(tiny_episodes, directory, CONFIG)]
    assert steps == list(range(1, CONFIG.steps + 1))
    export_model(directory, *make_networks(), SIMULATOR_SETTINGS)
    return directory


def test_the_next_embedding_becomes_predictable_and_displacements_readable(
    finished: Path,
) -> None:
    lines = [line for line in log(finished) if 'prediction' in line]
    start, end = lines[:10], lines[-10:]

    def mean(lines: list[dict[str, float]], name: str) -> float:
        return float(np.mean([line[name] for line in lines]))

    assert mean(end, 'prediction') < 0.5 * mean(start, 'prediction')
    assert mean(end, 'prediction') < mean(end, 'copy')  # better than to say that nothing moves
    assert mean(end, 'inverse_dynamics') < 0.8 * mean(start, 'inverse_dynamics')


def test_the_logged_loss_is_the_weighted_sum_of_the_logged_terms(finished: Path) -> None:
    for line in log(finished):
        if 'loss' in line:
            assert line['loss'] == pytest.approx(
                line['prediction']
                + CONFIG.inverse_dynamics_weight * line['inverse_dynamics']
                + CONFIG.variance_weight * line['variance']
                + CONFIG.covariance_weight * line['covariance'],
                rel=1e-4,
            )


def test_a_run_starts_and_ends_with_a_probe_on_held_out_episodes(
    finished: Path, tiny_episodes: Episodes
) -> None:
    lines = log(finished)
    report = probe_encoder(load_networks(finished / 'model').encoder, tiny_episodes)
    assert lines[0]['step'] == 0
    assert lines[-1]['step'] == CONFIG.steps
    for name, value in report.numbers().items():
        assert lines[-1][name] == pytest.approx(value, abs=2e-3)
    assert lines[0]['probe_position'] != lines[-1]['probe_position']


def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    config = DynamicsConfig(steps=10, batch_size=4)  # in bfloat16, as by default
    for _ in train(tiny_episodes, tmp_path / 'whole', config):
        pass
    for step, _ in train(tiny_episodes, tmp_path / 'parts', config):
        if step == 6:
            break
    assert len(log(tmp_path / 'parts')) == 7  # and the first evaluation
    resumed = list(train(tiny_episodes, tmp_path / 'parts', config))
    assert resumed[0][0] == 5  # the state was saved after 4
    assert log(tmp_path / 'parts') == log(tmp_path / 'whole')
    assert list(train(tiny_episodes, tmp_path / 'parts', config)) == []  # finished


def test_the_exported_model_encodes_as_in_training_and_plans(
    finished: Path, tiny_episodes: Episodes
) -> None:
    model = load_world_model(finished / 'model', device='cpu')
    assert model.config.image_size == (32, 32)
    assert model.config.ee_frame == 'fr3_hand_tcp'
    assert model.config.planner == RECOMMENDED_PLANNER
    images, states = tiny_episodes.images[0], tiny_episodes.states[0]
    controller = ModelPredictiveController(model, make_recommended_planner(model.config.planner))
    plan = controller.plan(Observation(image=images[0], state=states[0]), Goal(image=images[-1]))
    assert plan.actions.shape == (1, 7)
    assert np.isfinite(plan.actions).all()
    assert plan.energy <= plan.current_energy + 1e-6  # it may stay where it is


def test_episodes_that_cannot_be_trained_on_are_refused(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    short = Episodes(
        images=tiny_episodes.images[:, :1],
        states=tiny_episodes.states[:, :1],
        seeds=tiny_episodes.seeds,
    )
    with pytest.raises(InvalidInputError, match='at least 2 frames, these have 1'):
        next(train(short, tmp_path, CONFIG))
