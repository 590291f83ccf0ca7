# SPDX-License-Identifier: Apache-2.0
"""Episodes in memory for training: windows of equal length out of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.readers import open_source, ReadOptions, recognise, Source
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import state_difference
from vjepa_planner.types import STATE_DIM

CHECK_SEEDS_FROM = 900_000
"""Seeds from here up are kept for checking: nothing is collected, trained or tuned on them."""

NO_SEED = -1
"""Stands for the seed of an episode that was not made from one."""

_LOADED = ('lerobot', 'shards')
_THREADS = 8  # that decode images
_AHEAD = 64  # recordings that are decoded before they are needed


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Equally long episodes.

    Attributes:
        images: RGB, uint8, shape (episodes, frames, size, size, 3).
        states: Measured states, shape (episodes, frames, 7); see ``vjepa_planner.types``.
        seeds: Seed of each episode, shape (episodes,); ``NO_SEED`` where there is none.
        gripper_commands: Change of closedness that was asked for at each frame, shape (episodes,
            frames), NaN where it is not known; None where none is.
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    seeds: npt.NDArray[np.int64]
    gripper_commands: npt.NDArray[np.float32] | None = None

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

    def actions(
        self, rows: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the actions (B, K, 7) that lead from frames (B, K) to those after them.

        See :meth:`vjepa_planner.data.episode.Episode.actions`.

        Args:
            rows: Which episodes, shape (B,).
            frames: Which of their frames; none of them the last one.
        """
        rows = rows[:, None]
        actions = state_difference(self.states[rows, frames], self.states[rows, frames + 1])
        if self.gripper_commands is not None:
            asked = self.gripper_commands[rows, frames]
            actions[..., 6] = np.where(np.isnan(asked), actions[..., 6], asked)
        return actions.astype(np.float32)


def load_episodes(
    path: Path,
    *,
    frames: int | None = None,
    step_duration: float | None = None,
    image_size: int | None = None,
    camera: str | None = None,
    crop: str = 'squash',
) -> Episodes:
    """Read a dataset, or a directory of shards, into memory.

    Episodes that are longer than the windows give several of them, evenly spaced so that every
    frame is in one; windows of an episode follow each other. Shorter episodes are left out.

    Args:
        path: Its directory.
        frames: Length of the windows; None takes whole episodes, which must be equally long.
        step_duration: Time from one frame to the next [s], a multiple of the dataset's; None
            takes the dataset's own.
        image_size: Side of the images [px]; None takes them as they are.
        camera: Which camera; None takes the only one.
        crop: What is cut out of images before they are scaled, one of ``preprocessing.CROPS``.

    Raises:
        InvalidInputError: There are no episodes, none is long enough, they differ in length or
            image size, one cannot be read, or one comes from a seed that is kept for checking.
    """
    if not path.is_dir():
        raise InvalidInputError(
            f'no episodes in {path}. Make some with: vjepa collect --out {path}'
        )
    kind = recognise(path)
    if kind not in _LOADED:
        raise InvalidInputError(
            f'{path} holds recordings of the kind {kind!r}. Make a dataset of them first: vjepa '
            f'data convert {path} --out DIR'
        )
    options = ReadOptions(
        step_duration=step_duration, image_size=image_size, camera=camera, crop=crop
    )
    source = open_source(path, options, kind)
    lengths, episodes = _episodes(source)
    if not lengths:
        raise InvalidInputError(f'the dataset in {path} has no episodes yet.')
    if frames is None and len(set(lengths)) > 1:
        raise InvalidInputError(
            f'the episodes in {path} have {min(lengths)} to {max(lengths)} frames. Say how long '
            'the windows for training are to be (frames).'
        )
    window = frames or lengths[0]
    count = sum(len(_starts(length, window)) for length in lengths)
    if count == 0:
        raise InvalidInputError(
            f'no episode in {path} has {window} frames; the longest has {max(lengths)}.'
        )
    return _fill(episodes, count, window, path)


def _episodes(source: Source) -> tuple[list[int], Iterable[Episode]]:
    """Return the lengths of the episodes, and the episodes in that order."""
    from vjepa_planner.data.readers.lerobot import LeRobotSource

    if isinstance(source, LeRobotSource):
        return [source.length(i) for i in range(len(source))], _read_ahead(source)
    episodes = [episode for i in range(len(source)) for episode in source.read(i)]
    return [len(episode) for episode in episodes], episodes


def _read_ahead(source: Source) -> Iterator[Episode]:
    """Yield the episodes in order, some of them decoded on other threads in advance."""
    with ThreadPoolExecutor(_THREADS) as pool:
        numbers = iter(range(len(source)))
        jobs = [pool.submit(source.read, i) for i in itertools.islice(numbers, _AHEAD)]
        while jobs:
            yield from jobs.pop(0).result()
            jobs += [pool.submit(source.read, i) for i in itertools.islice(numbers, 1)]


def _starts(length: int, window: int) -> Sequence[int]:
    """Return where the windows of an episode begin."""
    if length < window:
        return []
    count = math.ceil(length / window)
    return [round(i * (length - window) / max(1, count - 1)) for i in range(count)]


def _fill(episodes: Iterable[Episode], count: int, window: int, path: Path) -> Episodes:
    images: npt.NDArray[np.uint8] | None = None
    states = np.empty((count, window, STATE_DIM), np.float32)
    seeds = np.empty(count, np.int64)
    commands = np.full((count, window), np.nan, np.float32)
    row = 0
    for episode in episodes:
        _check_seed(episode.seed, path)
        shape = episode.images.shape[1:]
        if images is None:
            if shape[0] != shape[1]:
                raise InvalidInputError(
                    f'the images in {path} are {shape[1]} x {shape[0]} px. Say how large the '
                    'square ones for training are to be (image_size).'
                )
            images = np.empty((count, window, *shape), np.uint8)
        if shape != images.shape[2:]:
            raise InvalidInputError(f'the images in {path} differ in size.')
        for start in _starts(len(episode), window):
            images[row] = episode.images[start : start + window]
            states[row] = episode.states[start : start + window]
            seeds[row] = NO_SEED if episode.seed is None else episode.seed
            if episode.gripper_commands is not None:
                commands[row] = episode.gripper_commands[start : start + window]
            row += 1
    assert images is not None  # there are windows
    known = None if np.isnan(commands).all() else commands
    return Episodes(images=images, states=states, seeds=seeds, gripper_commands=known)


def _check_seed(seed: int | None, path: Path) -> None:
    if seed is not None and seed >= CHECK_SEEDS_FROM:
        raise InvalidInputError(
            f'{path} holds an episode of seed {seed}; seeds from {CHECK_SEEDS_FROM} up are kept '
            'for checking, and nothing is trained on them.'
        )
