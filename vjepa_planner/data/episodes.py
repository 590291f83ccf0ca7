# SPDX-License-Identifier: Apache-2.0
"""Episodes on disk: a directory of shards, each an uncompressed .npz of equally long episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import zipfile

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import STATE_DIM

CHECK_SEEDS_FROM = 900_000
"""Seeds from here up are kept for checking: nothing is collected, trained or tuned on them."""

_UNREADABLE = (zipfile.BadZipFile, KeyError, ValueError, EOFError)  # what NumPy may raise


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Equally long episodes.

    Attributes:
        images: RGB, uint8, shape (episodes, frames, size, size, 3).
        states: Measured states, shape (episodes, frames, 7); see ``vjepa_planner.types``.
        seeds: Seed of each episode, shape (episodes,).
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    seeds: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        if self.images.ndim != 5 or self.states.shape != (*self.images.shape[:2], STATE_DIM):
            raise InvalidInputError(
                'episodes need images (episodes, frames, size, size, 3) and states '
                f'(episodes, frames, {STATE_DIM}), got {self.images.shape} and '
                f'{self.states.shape}.'
            )

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.images)


def save_shard(path: Path, episodes: Episodes) -> None:
    """Write one shard; it appears under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    with partial.open('wb') as file:
        np.savez(file, images=episodes.images, states=episodes.states, seeds=episodes.seeds)
    partial.rename(path)


def describe_shard(path: Path) -> tuple[tuple[int, ...], npt.NDArray[np.int64]]:
    """Return the shape of a shard's images and its seeds, without reading the images.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open('images.npy') as header:
            np.lib.format.read_magic(header)
            shape, _, _ = np.lib.format.read_array_header_1_0(header)
        with np.load(path) as file:
            return shape, file['seeds']
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _load_shard(path: Path) -> Episodes:
    try:
        with np.load(path) as file:
            return Episodes(images=file['images'], states=file['states'], seeds=file['seeds'])
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f'{path} cannot be read as a shard of episodes ({error}). Delete it and call '
        'vjepa collect again.'
    )


def load_episodes(directory: Path) -> Episodes:
    """Read all shards of a directory.

    Raises:
        InvalidInputError: There are none, one cannot be read, or they differ in length or image
            size.
    """
    paths = sorted(Path(directory).glob('shard-*.npz'))
    if not paths:
        raise InvalidInputError(
            f'no episodes (shard-*.npz) in {directory}. Make some with: vjepa collect --out '
            f'{directory}'
        )
    shards = [_load_shard(path) for path in paths]
    if len({shard.images.shape[1:] for shard in shards}) > 1:
        raise InvalidInputError(
            f'the shards in {directory} differ in length or image size; collect into separate '
            'directories.'
        )
    return Episodes(
        images=np.concatenate([shard.images for shard in shards]),
        states=np.concatenate([shard.states for shard in shards]),
        seeds=np.concatenate([shard.seeds for shard in shards]),
    )
