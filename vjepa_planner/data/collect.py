# SPDX-License-Identifier: Apache-2.0
"""Episodes of exploration in the simulator, made in parallel, seeded and resumable."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from pathlib import Path
import signal

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.data.dataset import is_dataset, open_dataset
from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.episodes import CHECK_SEEDS_FROM
from vjepa_planner.data.exploration import find_exploration
from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig
from vjepa_planner.simulation.variation import VARIATIONS
from vjepa_planner.types import ACTION_DIM

_LOOKS_PROBABILITY = 0.85
_RENDERERS = {'ray': ('ray',), 'gl': ('gl',), 'both': ('ray', 'gl')}


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """What to collect.

    Attributes:
        episodes: Number of episodes.
        frames: Images of each episode, one model step apart.
        image_size: Size of the images [px]; a model may be trained on smaller ones.
        renderer: ``'ray'``, ``'gl'``, or ``'both'``: each episode is seen by one of the two.
        max_translation: Largest displacement of one step along each axis [m].
        seed: Seed of the first episode; the others count up from it.
        shard_size: Episodes that a process makes at a time and that reach the disk together.
        exploration: What the arm does, see ``vjepa_planner.data.exploration``.
    """

    episodes: int = 3000
    frames: int = 10
    image_size: int = 256
    renderer: str = 'ray'
    max_translation: float = 0.075
    seed: int = 0
    shard_size: int = 50
    exploration: str = 'reach'

    def __post_init__(self) -> None:
        """Check the values."""
        find_exploration(self.exploration)
        if self.renderer not in _RENDERERS:
            raise UnknownNameError('renderer', self.renderer, tuple(_RENDERERS))
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
    """Append the episodes that are not there yet to a dataset, in the order of their seeds.

    Args:
        config: What to collect.
        directory: Of the dataset.
        processes: Number of processes.

    Yields:
        The number of episodes that are on disk so far.

    Raises:
        InvalidInputError: There are no processes, or the directory holds other episodes.
    """
    if processes < 1:
        raise InvalidInputError(f'processes must be at least 1, got {processes}.')
    finished = min(_count_finished(config, directory), config.episodes)
    yield finished
    seeds = range(config.seed + finished, config.seed + config.episodes)
    parts = [seeds[i : i + config.shard_size] for i in range(0, len(seeds), config.shard_size)]
    if not parts:
        return
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context('spawn'),
        initializer=signal.signal,  # Ctrl-C ends the processes at once and without a traceback
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        with DatasetWriter(directory) as writer:
            jobs = deque(pool.submit(_make_episodes, config, part) for part in parts)
            while jobs:
                writer.add(*jobs.popleft().result())  # and let go of them
                writer.flush()
                yield len(writer)
    finally:
        # Whoever stops early must not wait for episodes that nobody has begun.
        pool.shutdown(cancel_futures=True)


def _count_finished(config: CollectConfig, directory: Path) -> int:
    """Return how many episodes are there.

    Raises:
        InvalidInputError: There are others than these.
    """
    if not is_dataset(directory):
        return 0
    dataset = open_dataset(directory)
    lengths = {entry.length for entry in dataset.episodes}
    sizes = {
        feature['shape'][0] for feature in dataset.features.values() if feature['dtype'] == 'image'
    }
    if not lengths <= {config.frames} or sizes != {config.image_size}:
        raise InvalidInputError(
            f'{directory} holds episodes of {_numbers(lengths)} frames of {_numbers(sizes)} px, '
            f'wanted are {config.frames} frames of {config.image_size} px. Collect into another '
            'directory.'
        )
    explored = {entry.facts.get('exploration', config.exploration) for entry in dataset.episodes}
    if explored - {config.exploration}:
        raise InvalidInputError(
            f'{directory} holds episodes of exploration {", ".join(sorted(explored))}, wanted is '
            f'{config.exploration}. Collect into another directory.'
        )
    seeds = [entry.seed for entry in dataset.episodes]
    if seeds != list(range(config.seed, config.seed + len(seeds))):
        raise InvalidInputError(
            f'{directory} holds episodes of other seeds than {config.seed} and on. Collect into '
            'another directory.'
        )
    return len(seeds)


def _numbers(values: set[int]) -> str:
    return ', '.join(map(str, sorted(values))) or 'no'


def _make_episodes(config: CollectConfig, seeds: range) -> list[Episode]:
    simulations = [
        FrankaSimulation(SimulationConfig(image_size=config.image_size, renderer=renderer))
        for renderer in _RENDERERS[config.renderer]
    ]
    step_duration = _measure_step(simulations[0])
    facts = {
        'source': 'simulator',
        'ee_frame': fr3.TCP_FRAME,
        'exploration': config.exploration,
        'simulator': f'MuJoCo {mujoco.__version__}',
    }
    episodes = []
    for seed in seeds:
        simulation = simulations[seed % len(simulations)]
        recorded = record_episode(simulation, config, seed)
        episodes.append(
            Episode(
                images=recorded.images,
                states=recorded.states.astype(np.float32),
                step_duration=step_duration,
                seed=seed,
                facts={**facts, 'renderer': simulation.config.renderer},
                gripper_commands=recorded.gripper_commands.astype(np.float32),
            )
        )
    for simulation in simulations:
        simulation.close()
    return episodes


def _measure_step(simulation: FrankaSimulation) -> float:
    """Return how long an action of the simulation takes [s], to the microsecond."""
    simulation.reset(0)
    begin = simulation.time
    simulation.apply(np.zeros(ACTION_DIM))
    return round(simulation.time - begin, 6)


@dataclass(frozen=True)
class Recorded:
    """One exploration.

    Attributes:
        images: Shape (frames, size, size, 3).
        states: Shape (frames, 7).
        gripper_commands: Change of closedness asked for at each frame, shape (frames,).
    """

    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float64]
    gripper_commands: npt.NDArray[np.float64]


def record_episode(simulation: FrankaSimulation, config: CollectConfig, seed: int) -> Recorded:
    """Record one exploration, which decides where it begins and what happens."""
    rng = np.random.default_rng([seed, 1])
    looks = rng.random(len(VARIATIONS)) < _LOOKS_PROBABILITY
    vary = {name for name, wanted in zip(VARIATIONS, looks, strict=True) if wanted}
    simulation.reset(seed, vary=frozenset(vary))
    explore = find_exploration(config.exploration)
    exploration = explore(simulation, config.max_translation, rng)
    images: list[npt.NDArray[np.uint8]] = []
    states: list[npt.NDArray[np.float64]] = []
    commands = np.zeros(config.frames)
    for frame in range(config.frames):
        if frame:
            action = exploration.act()
            commands[frame - 1] = action[6]
            simulation.apply(action)
        images.append(simulation.render())
        states.append(simulation.state())
    return Recorded(np.stack(images), np.stack(states), commands)
