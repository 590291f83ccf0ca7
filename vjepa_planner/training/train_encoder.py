# SPDX-License-Identifier: Apache-2.0
"""Train a small encoder, with a predictor that keeps its embeddings predictable.

Loss = L1 between predicted and true next embedding
     + linear inverse dynamics (where the end effector moved, read off fixed directions)
     + variance and covariance bounds on differences within an episode (against collapse).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import ACPredictor, ACPredictorConfig, Encoder, EncoderConfig
from vjepa_planner.training.augmentation import jitter_colors
from vjepa_planner.training.batches import (
    actions_between,
    check_length,
    images_to_clips,
    load_frames,
    split_episodes,
)
from vjepa_planner.training.losses import (
    LinearInverseDynamics,
    normalise,
    prediction_loss,
    spread_losses,
)
from vjepa_planner.training.probe import probe_encoder
from vjepa_planner.training.run import OptimiserConfig, TrainingRun

_LOG_EVERY = 50
_PROBE_EVERY = 500


@dataclass(frozen=True, kw_only=True)
class EncoderTrainingConfig(OptimiserConfig):
    """How an encoder is trained.

    Attributes:
        batch_size: Episodes of a batch, one sample of three frames each.
        inverse_dynamics_weight: Weight of the read-out of displacements.
        variance_weight: Weight of the bound on variance.
        covariance_weight: Weight of the bound on covariance.
    """

    steps: int = 4000
    batch_size: int = 20
    inverse_dynamics_weight: float = 0.5
    variance_weight: float = 2.0
    covariance_weight: float = 0.05


def train_encoder(
    episodes: Episodes,
    encoder_config: EncoderConfig,
    predictor_config: ACPredictorConfig,
    config: EncoderTrainingConfig,
    directory: Path,
) -> Iterator[tuple[int, str]]:
    """Train, or go on with an interrupted run, and leave ``state.pt`` and ``log.jsonl``.

    Args:
        episodes: What to train on; the last 5 % are held out for the probe.
        encoder_config: Size of the encoder.
        predictor_config: Size of the predictor.
        config: Optimiser and loss.
        directory: Where the run is kept.

    Yields:
        The step, and a line about how it goes, after every step.

    Raises:
        InvalidInputError: There are too few episodes or frames, or the directory holds another
            run.
        DivergedError: The loss is no longer finite.
    """
    check_length(episodes, 2)
    torch.manual_seed(config.seed)
    encoder, predictor = Encoder(encoder_config), ACPredictor(predictor_config)
    modules = nn.ModuleDict({'encoder': encoder, 'predictor': predictor})
    run = TrainingRun(modules, config, directory)
    inverse_dynamics = LinearInverseDynamics(encoder_config.embed_dim)
    rows = split_episodes(episodes).training
    report = ''
    while run.step < config.steps:
        terms = _losses(modules, inverse_dynamics, episodes, rows, config, run)
        run.apply(_total(terms, config))
        if run.step % _LOG_EVERY == 0:
            run.log(**{name: term.item() for name, term in terms.items()})
        if run.step % _PROBE_EVERY == 0 or run.step == config.steps:
            probe = probe_encoder(encoder, episodes)
            report = str(probe)
            run.log(**probe.numbers())
        yield (
            run.step,
            (
                f'prediction {terms["prediction"].item():.3f} (copy {terms["copy"].item():.3f}) '
                f'moved {terms["inverse_dynamics"].item():.3f} '
                f'variance {terms["variance"].item():.3f} {report}'
            ),
        )


def _total(terms: dict[str, Tensor], config: EncoderTrainingConfig) -> Tensor:
    """Return what is minimised."""
    return (
        terms['prediction']
        + config.inverse_dynamics_weight * terms['inverse_dynamics']
        + config.variance_weight * terms['variance']
        + config.covariance_weight * terms['covariance']
    )


def _losses(
    modules: nn.ModuleDict,
    inverse_dynamics: LinearInverseDynamics,
    episodes: Episodes,
    rows: np.ndarray,
    config: EncoderTrainingConfig,
    run: TrainingRun,
) -> dict[str, Tensor]:
    """Return the terms of the loss on one batch, and ``copy``: how much the next frame differs."""
    batch = run.rng.choice(rows, config.batch_size)
    length = episodes.images.shape[1]
    now = run.rng.integers(length - 1, size=config.batch_size)
    other = (now + run.rng.integers(1, length, size=config.batch_size)) % length
    frames = np.stack([now, now + 1, other], axis=1)
    states = episodes.states[batch[:, None], frames]
    images = jitter_colors(load_frames(episodes, batch, frames), run.generator)
    clips = images_to_clips(images).flatten(0, 1)
    with torch.autocast('cpu', torch.bfloat16, enabled=config.bfloat16):
        tokens = modules['encoder'](clips)
    embeddings = normalise(tokens.float()).view(*frames.shape, *tokens.shape[1:])
    first, second, third = embeddings.unbind(1)
    action = actions_between(states[:, 0], states[:, 1])
    with torch.autocast('cpu', torch.bfloat16, enabled=config.bfloat16):
        predicted = modules['predictor'](first, action[:, None], torch.from_numpy(states[:, :1]))
    variance, covariance = spread_losses(third - first)
    moved = torch.stack(
        [
            inverse_dynamics(second - first, action),
            inverse_dynamics(third - first, actions_between(states[:, 0], states[:, 2])),
            inverse_dynamics(third - second, actions_between(states[:, 1], states[:, 2])),
        ]
    )
    return {
        'prediction': prediction_loss(normalise(predicted.float()), second),
        'inverse_dynamics': moved.mean(),
        'variance': variance,
        'covariance': covariance,
        'copy': prediction_loss(first, second).detach(),
    }
