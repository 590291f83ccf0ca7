# SPDX-License-Identifier: Apache-2.0
"""From episodes to the tensors that networks take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vjepa_planner import geometry
from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def actions_between(
    states: npt.NDArray[np.float32], next_states: npt.NDArray[np.float32]
) -> Tensor:
    """Return the actions (..., 7) that lead from one state to the other, as float32."""
    return torch.from_numpy(geometry.state_difference(states, next_states).astype(np.float32))


def images_to_clips(images: Tensor) -> Tensor:
    """Return normalised two-frame clips (..., 3, 2, H, W) of images (..., 3, H, W) in 0..1."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=torch.float32).view(3, 1, 1)
    normalised = (images - mean) / std
    return normalised[..., None, :, :].expand(*normalised.shape[:-2], 2, *normalised.shape[-2:])


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
    episodes: Episodes, rows: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]
) -> Tensor:
    """Return images in 0..1, shape (B, K, 3, H, W), of frames (B, K) of episodes ``rows`` (B,)."""
    images = torch.from_numpy(episodes.images[rows[:, None], frames])
    return images.permute(0, 1, 4, 2, 3).float() / 255
