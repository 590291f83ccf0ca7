# SPDX-License-Identifier: Apache-2.0
"""What happens while episodes are recorded, and that it cannot be foreseen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from vjepa_planner.cli import main
from vjepa_planner.data.collect import CollectConfig, record_episode
from vjepa_planner.data.exploration import (
    available_explorations,
    Exploration,
    find_exploration,
)
from vjepa_planner.errors import UnknownNameError
from vjepa_planner.evaluation.criteria import is_placed
from vjepa_planner.simulation import (
    FrankaSimulation,
    GRASPABLE,
    REST_HEIGHT,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)

EPISODES, FRAMES = 48, 20
LIMIT = CollectConfig().max_translation

each_exploration = pytest.mark.parametrize('name', available_explorations())


@pytest.fixture(scope='module')
def simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=16))


def begin(name: str, simulation: FrankaSimulation, seed: int) -> Exploration:
    simulation.reset(seed)
    return find_exploration(name)(simulation, LIMIT, np.random.default_rng([seed, 1]))


@dataclass
class Statistics:
    """How many episodes something happened in, and what was seen and done in all of them."""

    episodes: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    states: list[np.ndarray] = field(default_factory=list)


def watch(simulation: FrankaSimulation, seed: int, statistics: Statistics) -> None:
    """Explore one episode and add what happened."""
    exploration = begin('objects', simulation, seed)
    happened: set[str] = set()
    before, last_heights, placed_before = '', {}, True
    for frame in range(FRAMES - 1):
        objects = simulation.objects
        held = next((n for n in GRASPABLE if objects.is_between_fingers(n)), '')
        placed = any(is_placed(simulation, name) for name in GRASPABLE)
        heights = {name: objects.position(name)[2] - REST_HEIGHT[name] for name in GRASPABLE}
        happened |= {'grasp'} if frame and held and not before else set()
        happened |= {'release'} if before and not held else set()
        happened |= {'drop'} if before and not held and last_heights[before] > 0.03 else set()
        happened |= {'carry'} if held and held == before and heights[held] > 0.05 else set()
        happened |= {'put on the plate'} if placed and not placed_before else set()
        before, last_heights, placed_before = held, heights, placed
        statistics.states.append(simulation.state())
        simulation.apply(exploration.act())
        statistics.phases[exploration.phase] += 1
    statistics.episodes.update(happened)


@pytest.fixture(scope='module')
def statistics(simulation: FrankaSimulation) -> Statistics:
    statistics = Statistics()
    for seed in range(EPISODES):
        watch(simulation, seed, statistics)
    return statistics


def test_objects_are_grasped_carried_dropped_and_put_on_the_plate_often_enough(
    statistics: Statistics,
) -> None:
    shares = {what: count / EPISODES for what, count in statistics.episodes.items()}
    least = {'grasp': 0.25, 'carry': 0.25, 'release': 0.25, 'drop': 0.1, 'put on the plate': 0.06}
    assert {what: share for what, share in shares.items() if share < least[what]} == {}
    assert set(shares) == set(least)


def test_no_phase_is_rare_and_none_is_all(statistics: Statistics) -> None:
    total = sum(statistics.phases.values())
    shares = {phase: count / total for phase, count in statistics.phases.items()}
    for phase in ('reach', 'approach', 'grasp', 'carry', 'place'):
        assert 0.04 < shares[phase] < 0.6, shares
    assert shares['release'] > 0


def test_the_gripper_is_seen_open_closed_and_around_objects(statistics: Statistics) -> None:
    closedness = np.array(statistics.states)[:, 6]
    is_open, is_around, is_closed = (
        ((low <= closedness) & (closedness < high)).mean()
        for low, high in ((0.0, 0.1), (0.1, 0.45), (0.9, 1.1))
    )
    assert 0.3 < is_open < 0.8
    assert is_around > 0.15
    assert is_closed > 0.02


def test_the_hand_is_seen_everywhere_in_the_workspace_and_nowhere_else(
    statistics: Statistics,
) -> None:
    places = np.array(statistics.states)[:, :3]
    assert (places > WORKSPACE_MIN - 0.02).all()
    assert (places < WORKSPACE_MAX + 0.02).all()
    shares = (places - WORKSPACE_MIN) / (WORKSPACE_MAX - WORKSPACE_MIN)
    cells, _ = np.histogramdd(np.clip(shares, 0, 0.999), bins=3, range=[(0, 1)] * 3)
    assert (cells > 0).all()


@each_exploration
def test_the_action_cannot_be_foreseen_from_the_scene_in_any_phase(
    simulation: FrankaSimulation, name: str
) -> None:
    spreads: dict[str, list[float]] = {}
    for seed in range(6):
        exploration = begin(name, simulation, seed)
        actions: dict[str, list[np.ndarray]] = {}
        for _ in range(60):  # nothing moves in between
            action = exploration.act()
            assert np.abs(action[:3]).max() <= LIMIT
            assert np.abs(action[6]) <= 1.0
            actions.setdefault(exploration.phase, []).append(action)
        for phase, taken in actions.items():
            if len(taken) > 5:
                spreads.setdefault(phase, []).append(np.array(taken)[:, :3].std(axis=0).mean())
    assert set(spreads) >= ({'reach'} if name == 'reach' else {'reach', 'approach', 'grasp'})
    for phase, values in spreads.items():
        assert np.mean(values) > 0.008, phase


@each_exploration
def test_the_seed_decides_what_happens(simulation: FrankaSimulation, name: str) -> None:
    config = CollectConfig(frames=5, image_size=16, exploration=name)
    first = record_episode(simulation, config, 7)
    record_episode(simulation, config, 8)
    again = record_episode(simulation, config, 7)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.states, again.states)
    np.testing.assert_array_equal(first.gripper_commands, again.gripper_commands)


def test_an_unknown_exploration_is_refused_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UnknownNameError, match=r"'object'.* Did you mean 'objects'"):
        CollectConfig(exploration='object')
    assert main(['collect', '--out', 'unused', '--exploration', 'object']) == 1
    assert "Did you mean 'objects'" in capsys.readouterr().err
