# SPDX-License-Identifier: Apache-2.0
"""Training a tiny encoder on a few recorded episodes, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.mpc import ModelPredictiveController
from vjepa_planner.networks import ACPredictorConfig, Encoder, EncoderConfig, load_networks
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.training import run as training_run
from vjepa_planner.training import train_encoder as module
from vjepa_planner.training.export import export_model, RECOMMENDED_PLANNER
from vjepa_planner.training.probe import embed_episodes, probe_encoder
from vjepa_planner.training.train_encoder import EncoderTrainingConfig, train_encoder
from vjepa_planner.types import Goal, Observation
from vjepa_planner.world_model import load_world_model

SIZES = {'img_size': (32, 32), 'num_frames': 2, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
ENCODER = EncoderConfig(**SIZES)
PREDICTOR = ACPredictorConfig(**SIZES, predictor_embed_dim=32)
CONFIG = EncoderTrainingConfig(steps=80, batch_size=8, learning_rate=3e-3, bfloat16=False)


@pytest.fixture(autouse=True, scope='module')
def log_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, '_SAVE_EVERY', 4)
        patch.setattr(module, '_LOG_EVERY', 1)
        yield


@pytest.fixture(scope='module')
def finished(tiny_episodes: Episodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished run, with its model."""
    directory = tmp_path_factory.mktemp('encoder')
    steps = [step for step, _ in train(tiny_episodes, directory, CONFIG)]
    assert steps == list(range(1, CONFIG.steps + 1))
    export_model(directory, ENCODER, PREDICTOR, {'encoder': {'steps': CONFIG.steps}})
    return directory


def train(
    episodes: Episodes, directory: Path, config: EncoderTrainingConfig
) -> Iterator[tuple[int, str]]:
    return train_encoder(episodes, ENCODER, PREDICTOR, config, directory)


def log(directory: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (directory / 'log.jsonl').open()]
    return [{name: line[name] for name in line if name != 'seconds'} for line in lines]


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


def test_a_run_ends_with_a_probe_on_held_out_episodes(
    finished: Path, tiny_episodes: Episodes
) -> None:
    logged = log(finished)[-1]
    report = probe_encoder(load_networks(finished / 'model').encoder, tiny_episodes)
    assert logged['step'] == CONFIG.steps
    for name, value in report.numbers().items():
        assert logged[name] == pytest.approx(value, abs=2e-3)
    assert 'probe x' in str(report)


def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    config = EncoderTrainingConfig(steps=10, batch_size=4)  # in bfloat16, as by default
    for _ in train(tiny_episodes, tmp_path / 'whole', config):
        pass
    for step, _ in train(tiny_episodes, tmp_path / 'parts', config):
        if step == 6:
            break
    assert len(log(tmp_path / 'parts')) == 6
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
    in_training = embed_episodes(load_networks(finished / 'model').encoder, tiny_episodes)[0]
    np.testing.assert_allclose(model.encode(images), in_training.float(), atol=5e-3)
    controller = ModelPredictiveController(model, make_recommended_planner(model.config.planner))
    plan = controller.plan(Observation(image=images[0], state=states[0]), Goal(image=images[-1]))
    assert plan.actions.shape == (1, 7)
    assert np.isfinite(plan.actions).all()
    assert plan.energy < plan.current_energy


def test_embeddings_are_the_same_whatever_they_are_batched_with(
    finished: Path, tiny_episodes: Episodes
) -> None:
    encoder = load_networks(finished / 'model').encoder
    together = embed_episodes(encoder, tiny_episodes)
    one_by_one = embed_episodes(encoder, tiny_episodes, rows_per_batch=1)
    assert together.shape == (10, 4, 4, 32)
    assert together.dtype == torch.float16
    torch.testing.assert_close(together, one_by_one, atol=2e-3, rtol=0)


def test_the_probe_tells_an_encoder_that_sees_from_one_that_has_collapsed(
    tiny_episodes: Episodes,
) -> None:
    torch.manual_seed(0)
    seeing = Encoder(ENCODER).eval()
    collapsed = Encoder(ENCODER).eval()
    collapsed.patch_embed.requires_grad_(False)
    for parameter in collapsed.patch_embed.parameters():
        parameter.zero_()
    assert probe_encoder(seeing, tiny_episodes).temporal_std > 0.01
    report = probe_encoder(collapsed, tiny_episodes)
    assert report.temporal_std == pytest.approx(0.0, abs=1e-6)
    assert min(report.position_error) > 0.005


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
