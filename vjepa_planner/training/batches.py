# SPDX-License-Identifier: Apache-2.0
"""From episodes to the tensors that networks take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def images_to_clips(images: Tensor, frames: int = 2) -> Tensor:
    """Return normalised clips (..., 3, frames, H, W), each of one image (..., 3, H, W) in 0..1."""
    still = _normalise_colors(images)[..., None, :, :]
    return still.expand(*images.shape[:-2], frames, *images.shape[-2:])


def frames_to_clips(frames: Tensor) -> Tensor:
    """Return normalised clips (B, 3, T, H, W) of the frames (B, T, 3, H, W) of videos in 0..1."""
    return _normalise_colors(frames).transpose(1, 2)


def _normalise_colors(images: Tensor) -> Tensor:
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device=images.device).view(3, 1, 1)
    return (images - mean) / std


@dataclass(frozen=True)
class Split:
    """Indices of the episodes to train on and of those held out."""

    training: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]


def split_episodes(episodes: Episodes, validation_fraction: float = 0.05) -> Split:
    """Hold out the last episodes: they differ in seed, so in places, colours and light.

    Raises:
        InvalidInputError: There is only one episode.
    """
    if len(episodes) < 2:
        raise InvalidInputError('training needs at least 2 episodes, one of them is held out.')
    held_out = max(1, round(len(episodes) * validation_fraction))
    indices = np.arange(len(episodes))
    return Split(indices[:-held_out], indices[-held_out:])


def check_length(episodes: Episodes, frames: int) -> None:
    """Check that episodes have enough frames to train on.

    Raises:
        InvalidInputError: They have fewer than ``frames``.
    """
    length = episodes.images.shape[1]
    if length < frames:
        raise InvalidInputError(
            f'training needs episodes of at least {frames} frames, these have {length}. Collect '
            'longer ones into another directory.'
        )


def load_frames(
    episodes: Episodes,
    rows: npt.NDArray[np.int64],
    frames: npt.NDArray[np.int64],
    device: torch.device | None = None,
) -> Tensor:
    """Return images in 0..1, shape (B, K, 3, H, W), of frames (B, K) of episodes ``rows`` (B,)."""
    images = torch.from_numpy(episodes.images[rows[:, None], frames]).to(device)
    return images.permute(0, 1, 4, 2, 3).float() / 255
