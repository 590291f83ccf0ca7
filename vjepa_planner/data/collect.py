# SPDX-License-Identifier: Apache-2.0
"""Episodes of exploration in the simulator, made in parallel, seeded and resumable."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from pathlib import Path
import signal

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episodes import CHECK_SEEDS_FROM, describe_shard, Episodes, save_shard
from vjepa_planner.data.exploration import find_exploration
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

_LOOKS_PROBABILITY = 0.85


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """What to collect.

    Attributes:
        episodes: Number of episodes.
        frames: Images of each episode, one model step apart.
        image_size: Size of the stored images [px]; they are rendered at twice that.
        max_translation: Largest displacement of one step along each axis [m].
        seed: Seed of the first episode; the others count up from it.
        shard_size: Episodes of one file.
        exploration: What the arm does, see ``vjepa_planner.data.exploration``.
    """

    episodes: int = 3000
    frames: int = 10
    image_size: int = 128
    max_translation: float = 0.075
    seed: int = 0
    shard_size: int = 50
    exploration: str = 'reach'

    def __post_init__(self) -> None:
        """Check the values."""
        find_exploration(self.exploration)
        if self.episodes < 1 or self.frames < 2 or self.shard_size < 1:
            raise InvalidInputError(
                'need at least 1 episode of at least 2 frames and 1 episode in a shard, got '
                f'{self.episodes}, {self.frames}, {self.shard_size}.'
            )
        if not 0 <= self.seed <= CHECK_SEEDS_FROM - self.episodes:
            raise InvalidInputError(
                f'seeds {self.seed}..{self.seed + self.episodes - 1} leave the range '
                f'0..{CHECK_SEEDS_FROM - 1}; those above are kept for checking.'
            )


def collect(config: CollectConfig, directory: Path, processes: int = 1) -> Iterator[int]:
    """Write the shards that are not there yet.

    Args:
        config: What to collect.
        directory: Where the shards go.
        processes: Number of processes.

    Yields:
        The number of episodes that are on disk so far.

    Raises:
        InvalidInputError: There are no processes, or the directory holds other episodes.
    """
    if processes < 1:
        raise InvalidInputError(f'processes must be at least 1, got {processes}.')
    shards = _shards(config, directory)
    missing = [shard for shard in shards if not _is_complete(shard, config)]
    finished = config.episodes - sum(len(shard.seeds) for shard in missing)
    yield finished
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context('spawn'),
        initializer=signal.signal,  # Ctrl-C ends the processes at once and without a traceback
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        jobs = {pool.submit(_make_shard, config, shard): len(shard.seeds) for shard in missing}
        for job in as_completed(jobs):
            job.result()
            finished += jobs[job]
            yield finished
    finally:
        # Whoever stops early must not wait for shards that nobody has begun.
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Shard:
    """A file, and the seeds of the episodes that belong into it."""

    path: Path
    seeds: range


def _shards(config: CollectConfig, directory: Path) -> list[_Shard]:
    seeds = range(config.seed, config.seed + config.episodes)
    parts = [seeds[i : i + config.shard_size] for i in range(0, len(seeds), config.shard_size)]
    return [_Shard(directory / f'shard-{part[0]:06d}.npz', part) for part in parts]


def _is_complete(shard: _Shard, config: CollectConfig) -> bool:
    """Return whether a shard holds its episodes.

    Raises:
        InvalidInputError: It holds episodes of another length or image size.
    """
    if not shard.path.exists():
        return False
    shape, seeds = describe_shard(shard.path)
    if shape[1:3] != (config.frames, config.image_size):
        raise InvalidInputError(
            f'{shard.path} holds episodes of {shape[1]} frames of {shape[2]} px, wanted are '
            f'{config.frames} frames of {config.image_size} px. Collect into another directory.'
        )
    return set(shard.seeds) <= set(seeds.tolist())


def _make_shard(config: CollectConfig, shard: _Shard) -> None:
    simulation = FrankaSimulation(SimulationConfig(image_size=2 * config.image_size))
    recorded = [record_episode(simulation, config, seed) for seed in shard.seeds]
    save_shard(
        shard.path,
        Episodes(
            images=np.stack([images for images, _ in recorded]),
            states=np.stack([states for _, states in recorded]).astype(np.float32),
            seeds=np.array(shard.seeds),
        ),
    )


def record_episode(
    simulation: FrankaSimulation, config: CollectConfig, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the images (frames, size, size, 3) and states (frames, 7) of one exploration.

    The exploration decides where it begins and what happens.
    """
    rng = np.random.default_rng([seed, 1])
    looks = rng.random(2) < _LOOKS_PROBABILITY
    vary = {name for name, wanted in zip(('colors', 'lights'), looks, strict=True) if wanted}
    simulation.reset(seed, vary=frozenset(vary))
    explore = find_exploration(config.exploration)
    exploration = explore(simulation, config.max_translation, rng)
    images: list[npt.NDArray[np.uint8]] = []
    states: list[npt.NDArray[np.float64]] = []
    for frame in range(config.frames):
        if frame:
            simulation.apply(exploration.act())
        images.append(_shrink(simulation.render(), config.image_size))
        states.append(simulation.state())
    return np.stack(images), np.stack(states)


def _shrink(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return the image at ``size`` px, each pixel the mean of those it covers."""
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)
