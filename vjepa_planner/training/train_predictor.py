# SPDX-License-Identifier: Apache-2.0
"""Train an action-conditioned predictor on the embeddings of a frozen encoder.

Loss = teacher forcing (every next embedding of a window) + rollout (predictions fed back with
their gradient), both L1 on layer-normalised embeddings, as V-JEPA 2-AC (arXiv 2506.09985,
``app/vjepa_droid/train.py`` of the official code, after its correction of the rollout).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import ACPredictor, Encoder
from vjepa_planner.training.batches import check_length, split_episodes
from vjepa_planner.training.features import computed_features, Features
from vjepa_planner.training.loop import Evaluation, Intervals, Progress, Stage, train
from vjepa_planner.training.losses import normalise, prediction_loss
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.run import autocast, OptimiserConfig, TrainingRun

_VALIDATION_WINDOWS = 128
_VALIDATION_BATCH = 16  # of them at once
_GRIPPER_MOVES = 0.3  # change of closedness from which the gripper is taken to be asked to move


@dataclass(frozen=True, kw_only=True)
class PredictorTrainingConfig(OptimiserConfig):
    """How a predictor is trained; a sample is a window of consecutive frames.

    Attributes:
        frames: Of a window; 8 in the published configuration.
        rollout_steps: Predictions of a rollout; the first one is that of teacher forcing.
        rollout_weight: Weight of the rollout term.
        rollout_loss: ``'all'`` predictions of the rollout count, as published, or the ``'last'``.
        color_copies: Times that every frame is encoded once more with random colours.
        gripper_share: Share of the windows that is drawn among those in which the gripper is asked
            to move. What stops the fingers is seen there, and in few of all windows.
    """

    steps: int = 10_000
    batch_size: int = 32
    learning_rate: float = 4.25e-4
    schedule: str = 'vjepa2-ac'
    frames: int = 8
    rollout_steps: int = 2
    rollout_weight: float = 1.0
    rollout_loss: str = 'all'
    color_copies: int = 0
    gripper_share: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if not 2 <= self.rollout_steps < self.frames:
            raise InvalidInputError(
                'a rollout needs at least 2 steps, and windows more frames than that; got '
                f'{self.rollout_steps} steps and {self.frames} frames.'
            )
        if not 0.0 <= self.rollout_weight < math.inf:
            raise InvalidInputError(
                f'rollout_weight must be a number from 0 on, got {self.rollout_weight}.'
            )
        if self.rollout_loss not in ('all', 'last'):
            raise InvalidInputError(
                f"rollout_loss must be 'all' or 'last', got {self.rollout_loss!r}."
            )
        if not 0.0 <= self.gripper_share <= 1.0:
            raise InvalidInputError(
                f'gripper_share must be between 0 and 1, got {self.gripper_share}.'
            )


def simulator_config(**changes: Any) -> PredictorTrainingConfig:  # noqa: ANN401
    """Return how the predictor of the shipped model was trained, with changes.

    Args:
        **changes: Settings of :class:`PredictorTrainingConfig`.
    """
    recipe = {
        'steps': 2500,
        'learning_rate': 5e-4,
        'schedule': 'cosine',
        'second_moment': 0.98,
        'frames': 3,
        'rollout_loss': 'last',
        'color_copies': 1,
        'gripper_share': 0.4,
    }
    return PredictorTrainingConfig(**{**recipe, **changes})


class PredictorObjective(nn.Module):
    """A predictor with the loss that it is trained on."""

    def __init__(self, predictor: nn.Module, config: PredictorTrainingConfig) -> None:
        """Combine them; ``predictor`` is called as an :class:`ACPredictor`."""
        super().__init__()
        self.predictor, self._config = predictor, config

    def forward(self, embeddings: Tensor, actions: Tensor, states: Tensor) -> dict[str, Tensor]:
        """Return ``one_step`` (teacher forcing), ``rollout`` with ``two_steps`` in it, and copy.

        Args:
            embeddings: Layer-normalised, of T frames, shape (B, T, N, D).
            actions: Between them, shape (B, T - 1, 7).
            states: Of the frames, shape (B, T, 7).
        """
        with autocast(self._config, self, embeddings.device):
            forced = self._predict(embeddings[:, :-1], actions, states[:, :-1])
            rolled = self._roll_out(embeddings[:, 0], forced[:, 0], actions, states)
        one_step = prediction_loss(forced, embeddings[:, 1:])
        errors = [prediction_loss(z, embeddings[:, k]) for k, z in enumerate(rolled, start=1)]
        every = self._config.rollout_loss == 'all'
        rollout = torch.stack(errors).mean() if every else errors[-1]
        return {
            'loss': one_step + self._config.rollout_weight * rollout,
            'one_step': one_step,
            'rollout': rollout,
            'two_steps': errors[1].detach(),
            'copy': prediction_loss(embeddings[:, :-1], embeddings[:, 1:]),
        }

    def errors_by_context(self, embeddings: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Return the error of teacher forcing from 1, 2, ... T - 1 frames on, shape (T - 1,).

        The arguments are those of :meth:`forward`.
        """
        with autocast(self._config, self, embeddings.device):
            forced = self._predict(embeddings[:, :-1], actions, states[:, :-1])
        return (forced - embeddings[:, 1:]).abs().mean(dim=(0, 2, 3))

    def _roll_out(
        self, first: Tensor, second: Tensor, actions: Tensor, states: Tensor
    ) -> list[Tensor]:
        """Return the predictions (B, N, D) of frames 1, 2, ..., each fed back.

        Step k sees the true frame 0 and the predictions of frames 1 to k. The official code once
        fed the prediction of frame 2 where that of frame 1 belongs.

        Args:
            first: True embedding of frame 0, (B, N, D).
            second: Prediction of frame 1 by teacher forcing, (B, N, D).
            actions: As in :meth:`forward`.
            states: Likewise; the measured ones are used all along, as in the official code.
        """
        seen = [first, second]
        for step in range(2, self._config.rollout_steps + 1):
            stacked = torch.stack(seen, dim=1)
            seen.append(self._predict(stacked, actions[:, :step], states[:, :step])[:, -1])
        return seen[1:]

    def _predict(self, embeddings: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Return layer-normalised predictions of the next embeddings, shape (B, T, N, D)."""
        predicted: Tensor = self.predictor(embeddings.flatten(1, 2), actions, states)
        return normalise(predicted.float()).view(embeddings.shape)


class PredictorStage(Stage):
    """Trains a predictor on windows of features."""

    objective: PredictorObjective

    def __init__(
        self,
        episodes: Episodes,
        features: Features,
        predictor: ACPredictor,
        config: PredictorTrainingConfig,
        processes: Processes,
    ) -> None:
        """Set up."""
        self._episodes, self._features, self._config = episodes, features, config
        self._processes = processes
        self._split = split_episodes(episodes)
        self._gripper_windows = self._find_gripper_windows() if config.gripper_share else None
        self.objective = PredictorObjective(predictor, config).to(processes.device)

    def draw(self, run: TrainingRun) -> tuple[Tensor, Tensor, Tensor]:
        """Draw windows."""
        size = self._config.batch_size
        windows = self._choose(self._split.training, size, run.rng)
        if self._gripper_windows is not None:
            windows = self._with_gripper_windows(windows, self._gripper_windows, run.rng)
        return self._load(windows.part(self._processes.part(size)))

    def _choose(
        self, rows: npt.NDArray[np.int64], size: int, rng: np.random.Generator
    ) -> _Windows:
        row = rng.choice(rows, size)
        start = rng.integers(self._episodes.states.shape[1] - self._config.frames + 1, size=size)
        return _Windows(int(rng.integers(len(self._features.array))), row, start)

    def _find_gripper_windows(self) -> npt.NDArray[np.int64]:
        """Return episode and first frame (K, 2) of where the gripper is asked to move."""
        rows = self._split.training
        transitions = self._episodes.states.shape[1] - 1
        frames = np.broadcast_to(np.arange(transitions), (len(rows), transitions))
        moves = np.abs(self._episodes.actions(rows, frames)[..., 6]) >= _GRIPPER_MOVES
        within = np.lib.stride_tricks.sliding_window_view(moves, self._config.frames - 1, axis=1)
        row, start = np.nonzero(within.any(axis=2))
        if not len(row):
            raise InvalidInputError(
                f'gripper_share is {self._config.gripper_share}, but in no episode is the gripper '
                f'asked to change its closedness by {_GRIPPER_MOVES} or more. Set it to 0 '
                '(--gripper-share 0).'
            )
        return np.stack([rows[row], start], axis=1)

    def _with_gripper_windows(
        self, windows: _Windows, among: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> _Windows:
        """Return the windows with their share replaced by others of these (K, 2)."""
        drawn = among[rng.integers(len(among), size=len(windows.row))]
        replaced = rng.random(len(windows.row)) < self._config.gripper_share
        return _Windows(
            windows.copy,
            np.where(replaced, drawn[:, 0], windows.row),
            np.where(replaced, drawn[:, 1], windows.start),
        )

    def _load(self, windows: _Windows) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings (B, T, N, D), actions (B, T - 1, 7), states (B, T, 7)."""
        frames = windows.start[:, None] + np.arange(self._config.frames)
        states = self._episodes.states[windows.row[:, None], frames]
        actions = self._episodes.actions(windows.row, frames[:, :-1])
        device = self._processes.device
        return (
            self._features.windows(windows.copy, windows.row, frames).to(device),
            torch.from_numpy(actions).to(device),
            torch.from_numpy(states).to(device),
        )

    @torch.inference_mode()
    def evaluate(self) -> Evaluation:
        """Measure errors on held-out windows, beside two baselines.

        ``copy`` predicts that nothing moves. ``shuffled`` gives every window the actions of
        another one: were it as good as ``one_step``, the predictor would ignore actions.
        ``context_k`` is the error of predictions that see k frames.
        """
        windows = self._choose(
            self._split.validation, _VALIDATION_WINDOWS, np.random.default_rng(0)
        )
        parts = [
            self._errors(windows, slice(start, start + _VALIDATION_BATCH))
            for start in range(0, _VALIDATION_WINDOWS, _VALIDATION_BATCH)
        ]
        means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
        line = ' '.join(
            f'{name} {value:.3f}' for name, value in means.items() if 'context' not in name
        )
        return Evaluation(
            {f'validation_{name}': value for name, value in means.items()},
            means['one_step'] + means['two_steps'],
            f'held out: {line}',
        )

    def _errors(self, windows: _Windows, part: slice) -> dict[str, float]:
        embeddings, actions, states = self._load(windows.part(part))
        terms = self.objective(embeddings, actions, states)
        _, foreign, _ = self._load(windows.shifted().part(part))
        shuffled = self.objective(embeddings, foreign, states)
        by_context = self.objective.errors_by_context(embeddings, actions, states)
        return {
            **{f'context_{k}': error.item() for k, error in enumerate(by_context, start=1)},
            'one_step': terms['one_step'].item(),
            'two_steps': terms['two_steps'].item(),
            'copy': terms['copy'].item(),
            'shuffled': shuffled['one_step'].item(),
        }

    def describe(self, terms: Mapping[str, Tensor]) -> str:
        """Return how the last batch went."""
        return f'one step {terms["one_step"].item():.3f} (copy {terms["copy"].item():.3f})'


@dataclass(frozen=True)
class _Windows:
    """Which windows: the copy of the features, episodes (B,) and first frames (B,)."""

    copy: int
    row: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]

    def part(self, samples: slice) -> _Windows:
        return _Windows(self.copy, self.row[samples], self.start[samples])

    def shifted(self) -> _Windows:
        return _Windows(self.copy, np.roll(self.row, 1), np.roll(self.start, 1))


def train_predictor(
    episodes: Episodes,
    encoder: Encoder,
    predictor: ACPredictor,
    config: PredictorTrainingConfig,
    directory: Path,
    intervals: Intervals = Intervals(evaluate=250),  # noqa: B008 - it is frozen
    processes: Processes = Processes(),  # noqa: B008
    memory_bound: float = 4.0,
) -> Iterator[Progress]:
    """Train ``predictor``, or go on with an interrupted run.

    See :func:`vjepa_planner.training.loop.train`.

    Args:
        episodes: What to train on; the last 5 % are held out.
        encoder: Frozen; used once per frame.
        predictor: Where to start from; it is changed.
        config: Optimiser and loss.
        directory: Where the run is kept.
        intervals: How often to log, evaluate and save.
        processes: Those that train together.
        memory_bound: What features may take in memory [GiB]; more go to a file in ``directory``.

    Yields:
        The step, and a line about how it goes: while frames are encoded, then after every step.

    Raises:
        InvalidInputError: There are too few episodes or frames, their images are not of the
            encoder's size, or the directory holds another run.
        DivergedError: The loss is no longer finite.
        StoppedError: The loss rises.
    """
    check_length(episodes, config.frames)
    split_episodes(episodes)
    if episodes.images.shape[2:4] != encoder.config.img_size:
        raise InvalidInputError(
            f'the encoder was trained on images of {encoder.config.img_size} px, the episodes '
            f'have {episodes.images.shape[2:4]}.'
        )
    features = yield from computed_features(
        episodes,
        encoder.eval().to(processes.device),
        directory,
        color_copies=config.color_copies,
        seed=config.seed,
        memory_bound=memory_bound,
        processes=processes,
    )
    encoder.cpu()  # its memory is the predictor's now
    stage = PredictorStage(episodes, features, predictor, config, processes)
    yield from train(stage, config, directory, intervals, processes)
