# SPDX-License-Identifier: Apache-2.0
"""Episodes of exploration in the simulator, made in parallel, seeded and resumable."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episodes import CHECK_SEEDS_FROM, Episodes, save_shard
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import (
    WORKSPACE_MAX,
    WORKSPACE_MIN,
    FrankaSimulation,
    SimulationConfig,
)
from vjepa_planner.types import ACTION_DIM

_RANDOM_ACTION_PROBABILITY = 0.35
_GRIPPER_TOGGLE_PROBABILITY = 0.12
_WAYPOINT_NOISE = 0.02  # [m]
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
    """

    episodes: int = 3000
    frames: int = 10
    image_size: int = 128
    max_translation: float = 0.075
    seed: int = 0
    shard_size: int = 50

    def __post_init__(self) -> None:
        """Check the values."""
        if self.episodes < 1 or self.frames < 2 or self.shard_size < 1:
            raise InvalidInputError(
                'need at least 1 episode of at least 2 frames and 1 episode in a shard, got '
                f'{self.episodes}, {self.frames}, {self.shard_size}.'
            )
        if not 0 <= self.seed <= CHECK_SEEDS_FROM - self.episodes:
            raise InvalidInputError(
                f'seeds {self.seed}..{self.seed + self.episodes - 1} leave the range '
                f'0..{CHECK_SEEDS_FROM - 1}; seeds from {CHECK_SEEDS_FROM} up are kept for checking.'
            )


def collect(config: CollectConfig, directory: Path, processes: int = 1) -> Iterator[int]:
    """Write the shards that are not there yet.

    Args:
        config: What to collect.
        directory: Where the shards go.
        processes: Number of processes.

    Yields:
        The number of episodes that are on disk so far.
    """
    starts = range(0, config.episodes, config.shard_size)
    paths = {start: directory / f'shard-{config.seed + start:06d}.npz' for start in starts}
    sizes = {start: min(config.shard_size, config.episodes - start) for start in starts}
    missing = [start for start in starts if not paths[start].exists()]
    finished = sum(sizes[start] for start in starts if start not in missing)
    yield finished
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = {
            pool.submit(_make_shard, config, config.seed + start, sizes[start], paths[start]): start
            for start in missing
        }
        for job in as_completed(jobs):
            job.result()
            finished += sizes[jobs[job]]
            yield finished


def _make_shard(config: CollectConfig, seed: int, count: int, path: Path) -> None:
    simulation = FrankaSimulation(SimulationConfig(image_size=2 * config.image_size))
    images, states = zip(
        *(record_episode(simulation, config, seed + index) for index in range(count)), strict=True
    )
    save_shard(
        path,
        Episodes(
            images=np.stack(images),
            states=np.stack(states).astype(np.float32),
            seeds=np.arange(seed, seed + count),
        ),
    )


def record_episode(
    simulation: FrankaSimulation, config: CollectConfig, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the images (frames, size, size, 3) and states (frames, 7) of one exploration.

    The arm moves towards random places of the workspace with noise, or takes random actions, and
    opens or closes the gripper now and then.
    """
    rng = np.random.default_rng([seed, 1])
    looks = rng.random(2) < _LOOKS_PROBABILITY
    vary = {name for name, wanted in zip(('colors', 'lights'), looks, strict=True) if wanted}
    simulation.reset(seed, vary=frozenset(vary))
    simulation.place_end_effector_randomly(rng, rng.choice([0.0, 0.5, 1.0]) * fr3.MAX_GRIPPER_WIDTH)
    images, states = [], []
    waypoint = rng.uniform(WORKSPACE_MIN, WORKSPACE_MAX)
    for frame in range(config.frames):
        if frame:
            state = states[-1]
            if np.linalg.norm(waypoint - state[:3]) < 2 * _WAYPOINT_NOISE:
                waypoint = rng.uniform(WORKSPACE_MIN, WORKSPACE_MAX)
            simulation.apply(_explore(state, waypoint, config.max_translation, rng))
        images.append(_shrink(simulation.render(), config.image_size))
        states.append(simulation.state())
    return np.stack(images), np.stack(states)


def _explore(
    state: npt.NDArray[np.float64],
    waypoint: npt.NDArray[np.float64],
    limit: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return an action of shape (7,): towards the waypoint with noise, or random."""
    action = np.zeros(ACTION_DIM)
    if rng.random() < _RANDOM_ACTION_PROBABILITY:
        action[:3] = rng.uniform(-limit, limit, 3)
    else:
        towards = waypoint - state[:3] + rng.normal(0.0, _WAYPOINT_NOISE, 3)
        action[:3] = np.clip(towards * rng.uniform(0.4, 1.0), -limit, limit)
    if rng.random() < _GRIPPER_TOGGLE_PROBABILITY:
        action[6] = rng.uniform(-1.0, 1.0)
    return action


def _shrink(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return the image at ``size`` px, each pixel the mean of those it covers."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
