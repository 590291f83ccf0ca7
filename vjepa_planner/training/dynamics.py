# SPDX-License-Identifier: Apache-2.0
"""The encoder of the shipped model: a small one for a scene in which hardly anything moves.

Loss = L1 between predicted and true next embedding
     + linear inverse dynamics (where the end effector moved, read off fixed directions)
     + variance and covariance bounds on differences within an episode (against collapse)
     + the gripper, read off the tokens of the hand (where it is known where that is in the image).

Masked pre-training needs variety that a fixed camera does not give: position alone predicts what
is hidden there, and the encoder collapses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import ACPredictor, Encoder
from vjepa_planner.training.augmentation import draw_jitter
from vjepa_planner.training.batches import (
    check_length,
    images_to_clips,
    load_frames,
    split_episodes,
)
from vjepa_planner.training.hand_read_out import HandReadOut, Locate
from vjepa_planner.training.loop import Evaluation, Stage
from vjepa_planner.training.losses import (
    LinearInverseDynamics,
    normalise,
    prediction_loss,
    spread_losses,
)
from vjepa_planner.training.probe import probe_encoder
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.run import autocast, OptimiserConfig, TrainingRun


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig(OptimiserConfig):
    """How an encoder is trained by dynamics; a sample is three frames of an episode.

    Attributes:
        inverse_dynamics_weight: Weight of the read-out of displacements.
        variance_weight: Weight of the bound on variance.
        covariance_weight: Weight of the bound on covariance.
        hand_weight: Weight of the squared error of the gripper read off the tokens of the hand.
    """

    steps: int = 4300
    batch_size: int = 14
    learning_rate: float = 8e-4
    schedule: str = 'cosine'
    second_moment: float = 0.98
    inverse_dynamics_weight: float = 1.0
    variance_weight: float = 2.0
    covariance_weight: float = 0.05
    hand_weight: float = 10.0


class DynamicsObjective(nn.Module):
    """Encoder and predictor with the loss that they are trained on together."""

    def __init__(
        self,
        encoder: Encoder,
        predictor: ACPredictor,
        config: DynamicsConfig,
        *,
        reads_hand: bool = False,
    ) -> None:
        """Combine them, with a read-out of the hand if its places will be given."""
        super().__init__()
        self.encoder, self.predictor, self._config = encoder, predictor, config
        sizes = encoder.config
        self.inverse_dynamics = LinearInverseDynamics(sizes.embed_dim)
        grid = (side // sizes.patch_size for side in sizes.img_size)
        self.hand = HandReadOut(sizes.embed_dim, *grid) if reads_hand else None

    def forward(
        self, images: Tensor, states: Tensor, actions: Tensor, places: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the terms, and ``copy``: how much the next frame differs from the first.

        Args:
            images: A frame, the next one and any other, RGB in 0..1, shape (B, 3, 3, H, W).
            states: Of the three frames, shape (B, 3, 7).
            actions: From the first to the second frame, shape (B, 1, 7).
            places: Of the hand in each frame, in tokens, shape (B, 3, 2), where it is read.
        """
        clips = images_to_clips(images).flatten(0, 1)
        with autocast(self._config, self, images.device):
            tokens = self.encoder(clips)
        embeddings = normalise(tokens.float()).view(*images.shape[:2], *tokens.shape[1:])
        frames = embeddings.unbind(1)
        first, second, _ = frames
        with autocast(self._config, self, images.device):
            predicted = self.predictor(first, actions, states[:, :1])
        terms = self._geometry(frames, states)
        if self.hand is not None and places is not None:
            closedness = self.hand(embeddings, places)
            terms['hand'] = (closedness - states[..., 6]).square().mean()
        terms['prediction'] = prediction_loss(normalise(predicted.float()), second)
        copy = prediction_loss(first, second).detach()
        return {'loss': self._total(terms), **terms, 'copy': copy}

    def _geometry(self, frames: tuple[Tensor, ...], states: Tensor) -> dict[str, Tensor]:
        """Return the terms about how embeddings (B, N, D) of three frames differ."""
        variance, covariance = spread_losses(frames[2] - frames[0])
        moved = torch.stack(
            [
                self.inverse_dynamics(frames[b] - frames[a], states[:, b] - states[:, a])
                for a, b in ((0, 1), (0, 2), (1, 2))
            ]
        )
        return {
            'inverse_dynamics': moved.mean(),
            'variance': variance,
            'covariance': covariance,
        }

    def _total(self, terms: Mapping[str, Tensor]) -> Tensor:
        return (
            terms['prediction']
            + self._config.inverse_dynamics_weight * terms['inverse_dynamics']
            + self._config.variance_weight * terms['variance']
            + self._config.covariance_weight * terms['covariance']
            + self._config.hand_weight * terms.get('hand', terms['prediction'].new_zeros(()))
        )


class DynamicsStage(Stage):
    """Trains encoder and predictor on triples of frames with random colours."""

    def __init__(
        self,
        episodes: Episodes,
        encoder: Encoder,
        predictor: ACPredictor,
        config: DynamicsConfig,
        processes: Processes,
        locate: Locate | None = None,
    ) -> None:
        """Set up; without ``locate`` the gripper is read off all tokens alone.

        Raises:
            InvalidInputError: There are too few episodes or frames.
        """
        check_length(episodes, 2)
        self._episodes, self._processes, self._locate = episodes, processes, locate
        self._rows = split_episodes(episodes).training
        objective = DynamicsObjective(encoder, predictor, config, reads_hand=locate is not None)
        self.objective = objective.to(processes.device)
        self._encoder = encoder

    def draw(self, run: TrainingRun) -> tuple[Tensor, ...]:
        """Draw triples."""
        size = run.config.batch_size
        batch = run.rng.choice(self._rows, size)
        length, height, width = self._episodes.images.shape[1:4]
        now = run.rng.integers(length - 1, size=size)
        other = (now + run.rng.integers(1, length, size=size)) % length
        frames = np.stack([now, now + 1, other], axis=1)
        jitter = draw_jitter((size, 3, 3, height, width), run.generator)
        part, device = self._processes.part(size), self._processes.device
        batch, frames = batch[part], frames[part]
        states = torch.from_numpy(self._episodes.states[batch[:, None], frames])
        actions = torch.from_numpy(self._episodes.actions(batch, frames[:, :1]))
        images = jitter.part(part)(load_frames(self._episodes, batch, frames, device))
        drawn = images, states.to(device), actions.to(device)
        if self._locate is None:
            return drawn
        places = self._locate(states.numpy()) / self._encoder.config.patch_size - 0.5
        return *drawn, torch.from_numpy(places).float().to(device)

    def evaluate(self) -> Evaluation:
        """Probe the encoder."""
        probe = probe_encoder(self._encoder, self._episodes)
        return Evaluation(probe.numbers(), probe.distance_error, str(probe))

    def describe(self, terms: Mapping[str, Tensor]) -> str:
        """Return how the last batch went."""
        return (
            f'prediction {terms["prediction"].item():.3f} (copy {terms["copy"].item():.3f}) '
            f'moved {terms["inverse_dynamics"].item():.3f} '
            f'variance {terms["variance"].item():.3f}'
        )
