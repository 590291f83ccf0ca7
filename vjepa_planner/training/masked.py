# SPDX-License-Identifier: Apache-2.0
"""Masked pre-training of V-JEPA 2 (arXiv 2506.09985; ``app/vjepa/train.py`` of the official code).

The encoder sees a part of a clip. A predictor tells the embeddings of the rest, as a second
encoder gives them that sees everything: the moving average of the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn, Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import Encoder, MaskedPredictor
from vjepa_planner.training.augmentation import draw_crops
from vjepa_planner.training.batches import (
    check_length,
    frames_to_clips,
    load_frames,
    split_episodes,
)
from vjepa_planner.training.loop import Evaluation, Stage
from vjepa_planner.training.losses import normalise, prediction_loss
from vjepa_planner.training.masks import draw_mask, Mask, PUBLISHED_BLOCKS
from vjepa_planner.training.probe import probe_encoder
from vjepa_planner.training.processes import mean_over_processes, Processes
from vjepa_planner.training.run import autocast, OptimiserConfig, TrainingRun


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(OptimiserConfig):
    """How an encoder is pre-trained; a sample is a clip of consecutive frames.

    Attributes:
        frames: Of a clip; 16 in the published primary phase, 64 in its cool-down.
        momentum: Share of the target encoder that stays at every step.
    """

    steps: int = 20_000
    batch_size: int = 32
    learning_rate: float = 5.25e-4
    frames: int = 16
    momentum: float = 0.99925

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise InvalidInputError(f'momentum must be in 0 .. 1, below 1; got {self.momentum}.')


class MaskedObjective(nn.Module):
    """Encoder, predictor and target encoder, with the loss between them.

    Attributes:
        target: Moving average of the encoder; it is what pre-training is for.
    """

    def __init__(self, encoder: Encoder, predictor: MaskedPredictor, config: MaskedConfig) -> None:
        """Start the target as a copy of the encoder."""
        super().__init__()
        self.encoder, self.predictor, self._config = encoder, predictor, config
        self.target = copy.deepcopy(encoder).requires_grad_(False)
        # The official code counts clip lengths, not masks: with one length the others idle.
        for unused in predictor.mask_tokens[1:]:
            unused.requires_grad_(False)

    def forward(self, clips: Tensor, masks: list[Mask]) -> dict[str, Tensor]:
        """Return the loss, the mean over masks, and ``position_only``: what it has to be below.

        That is the error of the best constant for each place: were the loss no better, then
        nothing about the clip would be known.

        Args:
            clips: Normalised, shape (B, 3, T, H, W).
            masks: Each is applied to every clip.
        """
        losses, constants = [], []
        with autocast(self._config, self, clips.device):
            with torch.no_grad():
                everything = normalise(self.target(clips).float())
                typical = mean_over_processes(everything.mean(0, keepdim=True))
                typical = typical.expand_as(everything)
            for mask in masks:
                context = self.encoder(clips, mask.context)
                predicted = self.predictor(context, mask.context, mask.target)
                target = _take(everything, mask.target)
                losses.append(prediction_loss(predicted.float(), target))
                constants.append(prediction_loss(_take(typical, mask.target), target))
        loss = torch.stack(losses).mean()
        return {
            'loss': loss,
            'prediction': loss.detach(),
            'position_only': torch.stack(constants).mean(),
        }

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """Move the target towards the encoder."""
        targets: list[Tensor] = list(self.target.parameters())
        sources: list[Tensor] = list(self.encoder.parameters())
        torch._foreach_mul_(targets, momentum)
        torch._foreach_add_(targets, sources, alpha=1 - momentum)


def _take(tokens: Tensor, ids: Tensor) -> Tensor:
    """Return tokens (B, M, D) of (B, N, D) by their ids (B, M)."""
    return torch.gather(tokens, 1, ids[..., None].expand(-1, -1, tokens.shape[-1]))


class MaskedStage(Stage):
    """Pre-trains an encoder on clips of the episodes, cropped and mirrored at random."""

    def __init__(
        self,
        episodes: Episodes,
        encoder: Encoder,
        predictor: MaskedPredictor,
        config: MaskedConfig,
        processes: Processes,
    ) -> None:
        """Set up.

        Raises:
            InvalidInputError: There are too few episodes or frames, the frames do not fill
                tubelets, the images are not square, or the encoder is of V-JEPA 2.1, which was
                trained in another way.
        """
        check_length(episodes, config.frames)
        _check_encoder(encoder, config)
        self._episodes, self._config, self._processes = episodes, config, processes
        self._rows = split_episodes(episodes).training
        self._grid = (config.frames // encoder.config.tubelet_size, *_patches(episodes, encoder))
        self.objective: MaskedObjective = MaskedObjective(encoder, predictor, config)
        self.objective.to(processes.device)

    def draw(self, run: TrainingRun) -> tuple[Tensor, list[Mask]]:
        """Draw clips and masks."""
        size, device = self._config.batch_size, self._processes.device
        rows = run.rng.choice(self._rows, size)
        length, height, width = self._episodes.images.shape[1:4]
        first = run.rng.integers(length - self._config.frames + 1, size=size)
        crops = draw_crops(size, (height, width), run.generator)
        masks = [draw_mask(b, self._grid, size, run.generator) for b in PUBLISHED_BLOCKS]
        part = self._processes.part(size)
        frames = first[part, None] + np.arange(self._config.frames)
        images = load_frames(self._episodes, rows[part], frames, device)
        clips = frames_to_clips(crops.part(part)(images))
        return clips, [Mask(*(ids.to(device) for ids in mask.part(part))) for mask in masks]

    def after_step(self) -> None:
        """Move the target encoder."""
        self.objective.update_target(self._config.momentum)

    def evaluate(self) -> Evaluation:
        """Probe the target encoder."""
        probe = probe_encoder(self.objective.target, self._episodes)
        return Evaluation(probe.numbers(), probe.distance_error, str(probe))

    def describe(self, terms: Mapping[str, Tensor]) -> str:
        """Return how the last batch went."""
        return (
            f'prediction {terms["prediction"].item():.3f} '
            f'(position alone {terms["position_only"].item():.3f})'
        )


def _check_encoder(encoder: Encoder, config: MaskedConfig) -> None:
    if encoder.config.version != '2':
        raise InvalidInputError(
            'V-JEPA 2.1 was pre-trained with losses on four levels and on visible tokens, too, '
            'which is not implemented. Take an encoder of V-JEPA 2, or train a predictor on this '
            'one: vjepa train predictor.'
        )
    if config.frames < 1 or config.frames % encoder.config.tubelet_size:
        raise InvalidInputError(
            f'clips need a multiple of {encoder.config.tubelet_size} frames, got {config.frames}.'
        )


def _patches(episodes: Episodes, encoder: Encoder) -> tuple[int, int]:
    rows, columns = (side // encoder.config.patch_size for side in episodes.images.shape[2:4])
    if rows != columns:
        raise InvalidInputError(
            'masked pre-training needs square images, since its predictor knows square grids '
            f'only; the episodes have {episodes.images.shape[2]} x {episodes.images.shape[3]} px.'
        )
    return rows, columns
