# SPDX-License-Identifier: Apache-2.0
"""What embeddings know: a linear probe of the end effector on episodes that were held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import Encoder
from vjepa_planner.training.batches import images_to_clips, load_frames, split_episodes
from vjepa_planner.training.losses import normalise

_RIDGE = 1e-2


@dataclass(frozen=True)
class ProbeReport:
    """Health of an encoder.

    Attributes:
        position_error: Root-mean-square error of a linear read-out of x, y, z [m].
        closedness_error: The same of the gripper's closedness.
        temporal_std: Standard deviation of embeddings over the frames of an episode; near zero
            means that the encoder has collapsed onto what does not move.
    """

    position_error: tuple[float, float, float]
    closedness_error: float
    temporal_std: float

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name, for a log."""
        x, y, z = self.position_error
        return {
            'probe_x': x,
            'probe_y': y,
            'probe_z': z,
            'probe_closedness': self.closedness_error,
            'temporal_std': self.temporal_std,
        }

    def __str__(self) -> str:
        """Return one line."""
        x, y, z = (100 * error for error in self.position_error)
        return (
            f'probe x {x:.1f} y {y:.1f} z {z:.1f} cm, gripper {self.closedness_error:.2f}, '
            f'temporal std {self.temporal_std:.2f}'
        )


def embed_episodes(
    encoder: Encoder,
    episodes: Episodes,
    recolor: Callable[[Tensor], Tensor] | None = None,
    rows_per_batch: int = 16,
) -> Tensor:
    """Return embeddings of all frames as float16, shape (episodes, frames, N, D).

    Args:
        encoder: Used as it is, without gradients.
        episodes: What to encode.
        recolor: Changes images (B, frames, 3, H, W) before they are encoded.
        rows_per_batch: Episodes encoded at once.
    """
    return torch.cat(list(embed_in_batches(encoder, episodes, recolor, rows_per_batch)))


def embed_in_batches(
    encoder: Encoder,
    episodes: Episodes,
    recolor: Callable[[Tensor], Tensor] | None = None,
    rows_per_batch: int = 16,
) -> Iterator[Tensor]:
    """Yield what ``embed_episodes`` returns, some episodes at a time."""
    count, frames = episodes.images.shape[:2]
    for start in range(0, count, rows_per_batch):
        rows = np.arange(start, min(start + rows_per_batch, count))
        images = load_frames(episodes, rows, np.tile(np.arange(frames), (len(rows), 1)))
        if recolor is not None:
            images = recolor(images)
        with torch.no_grad():
            tokens = normalise(encoder(images_to_clips(images).flatten(0, 1)))
        yield tokens.half().view(len(rows), frames, *tokens.shape[1:])


def select(episodes: Episodes, rows: np.ndarray) -> Episodes:
    """Return some of the episodes."""
    return Episodes(
        images=episodes.images[rows], states=episodes.states[rows], seeds=episodes.seeds[rows]
    )


def probe_encoder(encoder: Encoder, episodes: Episodes, limit: int = 120) -> ProbeReport:
    """Fit a ridge regression of the state on pooled embeddings and measure it on held-out data.

    Args:
        encoder: The encoder to judge.
        episodes: Episodes as in training; the same ones are held out.
        limit: Number of episodes to fit on.
    """
    split = split_episodes(episodes)
    rng = np.random.default_rng(0)
    chosen = rng.choice(split.training, min(limit, len(split.training)), replace=False)
    fit, check = select(episodes, chosen), select(episodes, split.validation[:limit])
    x, y = _features(encoder, fit)
    weights = torch.linalg.solve(x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1]), x.T @ y)
    x, y = _features(encoder, check)
    errors = ((x @ weights - y) ** 2).mean(0).sqrt().tolist()
    return ProbeReport(
        (errors[0], errors[1], errors[2]),
        errors[3],
        float(embed_episodes(encoder, check).float().std(1).mean()),
    )


def _features(encoder: Encoder, episodes: Episodes) -> tuple[Tensor, Tensor]:
    """Return mean embeddings with a constant (rows, D + 1), and x y z closedness (rows, 4)."""
    pooled = embed_episodes(encoder, episodes).float().mean(2).flatten(0, 1)
    states = torch.from_numpy(episodes.states[..., [0, 1, 2, 6]]).flatten(0, 1)
    return torch.cat((pooled, torch.ones(len(pooled), 1)), 1), states
