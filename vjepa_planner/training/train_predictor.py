# SPDX-License-Identifier: Apache-2.0
"""Train an action-conditioned predictor on the embeddings of a frozen encoder.

Loss = teacher forcing (every next embedding of a window) + rollout (predict two steps, the first
prediction fed back with its gradient), both L1 on layer-normalised embeddings, as V-JEPA 2-AC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import ACPredictor, Encoder
from vjepa_planner.training.augmentation import jitter_colors
from vjepa_planner.training.batches import actions_between, check_length, split_episodes
from vjepa_planner.training.losses import normalise, prediction_loss
from vjepa_planner.training.probe import embed_in_batches
from vjepa_planner.training.run import OptimiserConfig, TrainingRun

_WINDOW = 3
_LOG_EVERY = 50
_VALIDATE_EVERY = 250
_VALIDATION_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class PredictorTrainingConfig(OptimiserConfig):
    """How a predictor is trained.

    Attributes:
        batch_size: Windows of three frames in a batch.
        rollout_weight: Weight of the rollout term.
        color_copies: Times that every frame is encoded once more with random colours.
    """

    steps: int = 2500
    learning_rate: float = 5e-4
    batch_size: int = 32
    rollout_weight: float = 1.0
    color_copies: int = 1


@dataclass(frozen=True)
class _Windows:
    """Embeddings (copies, episodes, frames, N, D), float16, with states (episodes, frames, 7)."""

    embeddings: list[Tensor]
    states: np.ndarray

    def draw(
        self, rows: np.ndarray, batch_size: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw embeddings (B, 3, N, D), states (B, 3, 7) and actions (B, 2, 7) of windows."""
        row = rng.choice(rows, batch_size)
        start = rng.integers(self.states.shape[1] - _WINDOW + 1, size=batch_size)
        frames = start[:, None] + np.arange(_WINDOW)
        source = self.embeddings[rng.integers(len(self.embeddings))]
        states = self.states[row[:, None], frames]
        return (
            source[torch.from_numpy(row)[:, None], torch.from_numpy(frames)].float(),
            torch.from_numpy(states),
            actions_between(states[:, :-1], states[:, 1:]),
        )


def train_predictor(
    episodes: Episodes,
    encoder: Encoder,
    predictor: ACPredictor,
    config: PredictorTrainingConfig,
    directory: Path,
) -> Iterator[tuple[int, str]]:
    """Train ``predictor``, or go on with an interrupted run, and leave ``state.pt`` and a log.

    Args:
        episodes: What to train on; the last 5 % are held out.
        encoder: Frozen; used once per frame.
        predictor: Where to start from.
        config: Optimiser and loss.
        directory: Where the run is kept.

    Yields:
        The step, and a line about how it goes: while frames are encoded, then after every step.

    Raises:
        InvalidInputError: There are too few episodes or frames, their images are not of the
            encoder's size, or the directory holds another run.
        DivergedError: The loss is no longer finite.
    """
    check_length(episodes, _WINDOW)
    if episodes.images.shape[2:4] != encoder.config.img_size:
        raise InvalidInputError(
            f'the encoder was trained on images of {encoder.config.img_size} px, the episodes '
            f'have {episodes.images.shape[2:4]}.'
        )
    torch.manual_seed(config.seed)
    run = TrainingRun(nn.ModuleDict({'predictor': predictor}), config, directory)
    windows = _Windows([], episodes.states)
    for line in _embed(episodes, encoder.eval(), config, windows.embeddings):
        yield run.step, line
    split = split_episodes(episodes)
    report = ''
    while run.step < config.steps:
        batch = windows.draw(split.training, config.batch_size, run.rng)
        terms = _losses(predictor, *batch, config.bfloat16)
        run.apply(terms['one_step'] + config.rollout_weight * terms['two_steps'])
        if run.step % _LOG_EVERY == 0:
            run.log(**{name: term.item() for name, term in terms.items()})
        if run.step % _VALIDATE_EVERY == 0 or run.step == config.steps:
            numbers = _validate(predictor, windows, split.validation)
            run.log(**{f'validation_{name}': number for name, number in numbers.items()})
            report = ' '.join(f'{name} {number:.3f}' for name, number in numbers.items())
        yield run.step, f'one step {terms["one_step"].item():.3f} validation: {report}'


def _embed(
    episodes: Episodes, encoder: Encoder, config: PredictorTrainingConfig, copies: list[Tensor]
) -> Iterator[str]:
    """Append the embeddings of all frames to ``copies``, and say how far it is."""
    generator = torch.Generator().manual_seed(config.seed)

    def recolor(images: Tensor) -> Tensor:
        return jitter_colors(images, generator)

    for copy in range(1 + config.color_copies):
        parts: list[Tensor] = []
        for part in embed_in_batches(encoder, episodes, recolor if copy else None):
            parts.append(part)
            encoded = sum(map(len, parts))
            yield f'encoding {encoded}/{len(episodes)} episodes, pass {copy + 1}'
        copies.append(torch.cat(parts))


def _losses(
    predictor: ACPredictor, embeddings: Tensor, states: Tensor, actions: Tensor, bfloat16: bool
) -> dict[str, Tensor]:
    """Return teacher-forced and rollout loss of a batch of windows."""
    with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
        forced = _predict(predictor, embeddings[:, :2], actions, states[:, :2])
        fed_back = torch.stack((embeddings[:, 0], forced[:, 0]), dim=1)
        rolled = _predict(predictor, fed_back, actions, states[:, :2])[:, 1]
    return {
        'one_step': prediction_loss(forced, embeddings[:, 1:]),
        'two_steps': prediction_loss(rolled, embeddings[:, 2]),
    }


def _predict(
    predictor: ACPredictor, embeddings: Tensor, actions: Tensor, states: Tensor
) -> Tensor:
    """Return layer-normalised predictions of the next embeddings, shape (B, T, N, D)."""
    predicted: Tensor = predictor(embeddings.flatten(1, 2), actions, states)
    return normalise(predicted.float()).view(embeddings.shape)


@torch.inference_mode()
def _validate(predictor: ACPredictor, windows: _Windows, rows: np.ndarray) -> dict[str, float]:
    """Return errors on held-out windows, beside two baselines.

    ``copy`` predicts that nothing moves. ``shuffled`` gives every window the actions of another
    one: were it as good as ``one_step``, the predictor would ignore actions.
    """
    rng = np.random.default_rng(0)
    embeddings, states, actions = windows.draw(rows, _VALIDATION_BATCH, rng)
    terms = _losses(predictor, embeddings, states, actions, bfloat16=False)
    shuffled = _losses(predictor, embeddings, states, actions.roll(1, 0), bfloat16=False)
    return {
        'one_step': terms['one_step'].item(),
        'two_steps': terms['two_steps'].item(),
        'copy': prediction_loss(embeddings[:, :-1], embeddings[:, 1:]).item(),
        'shuffled': shuffled['one_step'].item(),
    }
