# SPDX-License-Identifier: Apache-2.0
"""What embeddings know: a linear probe on episodes that were held out, and how much they vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import Encoder
from vjepa_planner.training.augmentation import draw_jitter
from vjepa_planner.training.batches import images_to_clips, load_frames, split_episodes
from vjepa_planner.training.losses import normalise

_RIDGE = 1e-2
_STATE_COLUMNS = [0, 1, 2, 6]  # x, y, z, closedness
_ROWS_PER_BATCH = 16
_ROWS_PER_PARAMETER = 4  # to fit on, for the probe to say something about the encoder


@dataclass(frozen=True)
class ProbeReport:
    """Health of an encoder.

    Attributes:
        position_error: Root-mean-square error of a linear read-out of x, y, z [m].
        closedness_error: The same of the gripper's closedness.
        object_error: The same of the positions of objects [m], None where they are not known.
        mean_errors: What would be the errors of their means: position, closedness, objects.
        temporal_std: Standard deviation of embeddings over the frames of an episode; near zero
            means that the encoder has collapsed onto what does not move.
        token_std: The same over samples of all episodes; near zero means that it tells nothing
            apart.
        trusted: Whether there were enough frames to fit on.
    """

    position_error: tuple[float, float, float]
    closedness_error: float
    object_error: float | None
    mean_errors: tuple[float, float, float | None]
    temporal_std: float
    token_std: float
    trusted: bool

    @property
    def distance_error(self) -> float:
        """Root-mean-square distance of the position read out from the true one [m]."""
        return float(np.linalg.norm(self.position_error))

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name, for a log."""
        x, y, z = self.position_error
        position_mean, closedness_mean, object_mean = self.mean_errors
        known = {
            'probe_x': x,
            'probe_y': y,
            'probe_z': z,
            'probe_position': self.distance_error,
            'probe_position_mean': position_mean,
            'probe_closedness': self.closedness_error,
            'probe_closedness_mean': closedness_mean,
            'probe_object': self.object_error,
            'probe_object_mean': object_mean,
            'probe_trusted': float(self.trusted),
            'temporal_std': self.temporal_std,
            'token_std': self.token_std,
        }
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        """Return one line."""
        x, y, z = (100 * error for error in self.position_error)
        return (
            f'probe x {x:.1f} y {y:.1f} z {z:.1f} cm, gripper {self.closedness_error:.2f}, '
            f'temporal std {self.temporal_std:.2f}, token std {self.token_std:.2f}'
        )


def embed_episodes(
    encoder: Encoder, episodes: Episodes, rows_per_batch: int = _ROWS_PER_BATCH
) -> Tensor:
    """Return embeddings of all frames as float16 on the CPU, shape (episodes, frames, N, D).

    Args:
        encoder: Used as it is, without gradients.
        episodes: What to encode.
        rows_per_batch: Episodes encoded at once.
    """
    return torch.cat(list(embed_in_batches(encoder, episodes, rows_per_batch=rows_per_batch)))


def embed_in_batches(
    encoder: Encoder,
    episodes: Episodes,
    recolor: torch.Generator | None = None,
    rows_per_batch: int = _ROWS_PER_BATCH,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Tensor]:
    """Yield what ``embed_episodes`` returns, some episodes at a time.

    Args:
        encoder: Used as it is, without gradients.
        episodes: What to encode.
        recolor: Colours are changed with random numbers from here.
        rows_per_batch: Episodes encoded at once.
        share: The first batch to encode and how many to move on from it; the random numbers of
            the others are drawn all the same.
    """
    count, frames = episodes.images.shape[:2]
    height, width = episodes.images.shape[2:4]
    device = next(encoder.parameters()).device
    for number, start in enumerate(range(0, count, rows_per_batch)):
        rows = np.arange(start, min(start + rows_per_batch, count))
        shape = (len(rows), frames, 3, height, width)
        jitter = draw_jitter(shape, recolor) if recolor is not None else None
        if number % share[1] != share[0]:
            continue
        every_frame = np.tile(np.arange(frames), (len(rows), 1))
        images = load_frames(episodes, rows, every_frame, device)
        if jitter is not None:
            images = jitter(images)
        clips = images_to_clips(images, encoder.config.tubelet_size).flatten(0, 1)
        with torch.no_grad():
            tokens = normalise(encoder(clips))
        yield tokens.half().view(len(rows), frames, *tokens.shape[1:]).cpu()


def select(episodes: Episodes, rows: npt.NDArray[np.int64]) -> Episodes:
    """Return some of the episodes."""
    return Episodes(
        images=episodes.images[rows], states=episodes.states[rows], seeds=episodes.seeds[rows]
    )


def object_positions(episodes: Episodes) -> npt.NDArray[np.float32] | None:
    """Return positions of objects [m], shape (episodes, frames, K), where episodes carry them."""
    positions = getattr(episodes, 'objects', None)
    if positions is None:
        return None
    return np.asarray(positions, dtype=np.float32).reshape(*episodes.states.shape[:2], -1)


def probe_encoder(encoder: Encoder, episodes: Episodes, limit: int = 120) -> ProbeReport:
    """Fit a ridge regression of the state on pooled embeddings and measure it on held-out data.

    Args:
        encoder: The encoder to judge.
        episodes: Episodes as in training; the same ones are held out.
        limit: Number of episodes to fit on, and to measure on.
    """
    split = split_episodes(episodes)
    rng = np.random.default_rng(0)
    chosen = rng.choice(split.training, min(limit, len(split.training)), replace=False)
    held_out = split.validation[:limit]
    targets = _targets(episodes)
    tokens = embed_episodes(encoder, select(episodes, held_out))
    x, y = _features(embed_episodes(encoder, select(episodes, chosen))), targets[chosen]
    y = y.flatten(0, 1)
    weights = torch.linalg.solve(x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1]), x.T @ y)
    truth = targets[held_out].flatten(0, 1)
    errors = _rms(_features(tokens) @ weights - truth)
    constant = _rms(y.mean(0) - truth)
    return ProbeReport(
        position_error=(errors[0], errors[1], errors[2]),
        closedness_error=errors[3],
        object_error=_objects(errors),
        mean_errors=(float(np.linalg.norm(constant[:3])), constant[3], _objects(constant)),
        temporal_std=float(tokens.float().std(1).mean()),
        token_std=float(tokens.float().flatten(0, 1).std(0).mean()),
        trusted=len(x) >= _ROWS_PER_PARAMETER * x.shape[1],
    )


def _targets(episodes: Episodes) -> Tensor:
    """Return x, y, z, closedness and the objects' coordinates, (episodes, frames, 4 + K)."""
    states = torch.from_numpy(episodes.states[..., _STATE_COLUMNS])
    objects = object_positions(episodes)
    return states if objects is None else torch.cat((states, torch.from_numpy(objects)), -1)


def _features(tokens: Tensor) -> Tensor:
    """Return mean embeddings with a constant, (rows, D + 1), of tokens (E, frames, N, D)."""
    pooled = tokens.float().mean(2).flatten(0, 1)
    return torch.cat((pooled, torch.ones(len(pooled), 1)), 1)


def _rms(differences: Tensor) -> list[float]:
    errors: list[float] = differences.square().mean(0).sqrt().tolist()
    return errors


def _objects(errors: list[float]) -> float | None:
    """Return the root-mean-square error over the coordinates of all objects."""
    return float(np.sqrt(np.mean(np.square(errors[4:])))) if errors[4:] else None
