# SPDX-License-Identifier: Apache-2.0
"""Recorded exploration: what lies in it, and that it can be interrupted and repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vjepa_planner.data.collect import collect, CollectConfig, record_episode
from vjepa_planner.data.dataset import open_dataset
from vjepa_planner.data.episodes import CHECK_SEEDS_FROM, Episodes, load_episodes
from vjepa_planner.data.pictures import fit_image
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import compose_states, state_difference
from vjepa_planner.preprocessing import ImagePreprocessor
from vjepa_planner.simulation import (
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)
from vjepa_planner.training.batches import images_to_clips

SMALL = CollectConfig(episodes=3, frames=2, image_size=16, seed=40, shard_size=1)


class RememberingSimulation(FrankaSimulation):
    """The simulation itself, which also remembers what it showed and where the arm was."""

    def reset(self, seed: int, vary: frozenset[str] | None = None) -> None:
        self.shown: list[np.ndarray] = []
        self.states: list[np.ndarray] = []
        self.vary = vary
        super().reset(seed, vary)

    def render(self) -> np.ndarray:
        self.shown.append(super().render())
        self.states.append(self.state())
        return self.shown[-1]


def test_every_image_goes_with_the_state_that_it_shows() -> None:
    config = CollectConfig(episodes=1, frames=3, image_size=16)
    simulation = RememberingSimulation(SimulationConfig(image_size=16))
    recorded = record_episode(simulation, config, seed=1)
    np.testing.assert_array_equal(recorded.states, simulation.states)
    np.testing.assert_array_equal(recorded.images, simulation.shown)


def test_training_sees_what_planning_sees_up_to_rounding() -> None:
    config = CollectConfig(episodes=1, frames=2, image_size=32)
    simulation = RememberingSimulation(SimulationConfig(image_size=32))
    images = record_episode(simulation, config, seed=2).images
    small = np.stack([fit_image(image, 16) for image in images])
    in_training = images_to_clips(torch.from_numpy(small).permute(0, 3, 1, 2) / 255).numpy()
    in_planning = ImagePreprocessor(16)(np.stack(simulation.shown))
    rounding = 0.5 / 255 / 0.224
    assert np.abs(in_training - in_planning).max() < rounding + 1e-5


def test_actions_between_recorded_states_lead_from_one_to_the_next(
    tiny_episodes: Episodes,
) -> None:
    states = tiny_episodes.states
    actions = state_difference(states[:, :-1], states[:, 1:])
    led_to = compose_states(states[:, :-1], actions)
    np.testing.assert_allclose(led_to[..., :3], states[:, 1:, :3], atol=1e-6)
    np.testing.assert_allclose(led_to[..., 6], states[:, 1:, 6], atol=1e-6)
    limit = CollectConfig().max_translation
    assert np.abs(actions[..., :3]).max() < limit + 0.01
    assert np.linalg.norm(actions[..., :3], axis=-1).mean() > 0.3 * limit


def test_states_stay_in_the_workspace_and_the_gripper_is_seen_open_and_closed(
    tiny_episodes: Episodes,
) -> None:
    states = tiny_episodes.states
    assert (states[..., :3] > WORKSPACE_MIN - 0.02).all()
    assert (states[..., :3] < WORKSPACE_MAX + 0.02).all()
    assert states[..., 6].min() < 0.05
    assert states[..., 6].max() > 0.95


def test_most_episodes_have_their_own_colours_light_and_camera() -> None:
    config = CollectConfig(episodes=1, frames=2, image_size=16)
    simulation = RememberingSimulation(SimulationConfig(image_size=16))
    varied = []
    for seed in range(12):
        record_episode(simulation, config, seed)
        assert simulation.vary is not None
        varied.append(simulation.vary)
    for name in ('colors', 'lights', 'camera'):
        assert sum(name in names for names in varied) > 6


def test_an_interrupted_collection_goes_on_and_equals_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    for _ in collect(SMALL, tmp_path / 'whole', processes=2):
        pass
    whole = load_episodes(tmp_path / 'whole')
    assert whole.seeds.tolist() == [40, 41, 42]

    progress = collect(SMALL, tmp_path / 'parts', processes=1)
    assert next(progress) == 0
    assert next(progress) == 1
    progress.close()
    data = tmp_path / 'parts/data/chunk-000'
    kept = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    assert len(kept) == 1
    progress = collect(SMALL, tmp_path / 'parts', processes=1)
    assert list(progress) == [1, 2, 3]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # only the missing ones
    resumed = load_episodes(tmp_path / 'parts')
    np.testing.assert_array_equal(resumed.images, whole.images)
    np.testing.assert_array_equal(resumed.states, whole.states)
    assert list(collect(SMALL, tmp_path / 'parts')) == [3]  # nothing is left to do


def test_episodes_say_where_they_come_from_and_how_long_a_step_lasts(tmp_path: Path) -> None:
    for _ in collect(replace(SMALL, episodes=1), tmp_path):
        pass
    dataset = open_dataset(tmp_path)
    assert dataset.step_duration == pytest.approx(0.66)
    assert dataset.episodes[0].seed == 40
    assert dataset.episodes[0].facts['ee_frame'] == 'fr3_hand_tcp'
    assert dataset.episodes[0].facts['simulator'].startswith('MuJoCo ')


def test_more_episodes_are_appended(tmp_path: Path) -> None:
    def config(episodes: int) -> CollectConfig:
        return CollectConfig(episodes=episodes, frames=2, image_size=16, shard_size=2)

    assert list(collect(config(1), tmp_path)) == [0, 1]
    assert list(collect(config(2), tmp_path)) == [1, 2]
    assert load_episodes(tmp_path).seeds.tolist() == [0, 1]
    assert list(collect(config(1), tmp_path)) == [1]  # fewer are there already
    assert load_episodes(tmp_path).seeds.tolist() == [0, 1]
    longer = CollectConfig(episodes=2, frames=3, image_size=16, shard_size=2)
    with pytest.raises(InvalidInputError, match='2 frames of 16 px, wanted are 3 frames'):
        next(collect(longer, tmp_path))
    with pytest.raises(InvalidInputError, match='other seeds than 5'):
        next(collect(replace(config(1), seed=5), tmp_path))


@pytest.mark.parametrize(
    ('seed', 'episodes'), [(CHECK_SEEDS_FROM, 1), (CHECK_SEEDS_FROM - 5, 6), (-1, 1)]
)
def test_seeds_that_are_kept_for_checking_are_refused(seed: int, episodes: int) -> None:
    assert CHECK_SEEDS_FROM == 900_000
    with pytest.raises(InvalidInputError, match=r'range 0\.\.899999'):
        CollectConfig(seed=seed, episodes=episodes)
    assert CollectConfig(seed=CHECK_SEEDS_FROM - 5, episodes=5).seed == CHECK_SEEDS_FROM - 5


def test_impossible_amounts_are_refused(tmp_path: Path) -> None:
    for wrong in ({'episodes': 0}, {'frames': 1}, {'shard_size': 0}):
        with pytest.raises(InvalidInputError, match='need at least'):
            CollectConfig(**wrong)
    with pytest.raises(InvalidInputError, match='processes must be at least 1, got 0'):
        next(collect(SMALL, tmp_path, processes=0))


def test_two_kinds_of_exploration_do_not_mix(tmp_path: Path) -> None:
    list(collect(SMALL, tmp_path))
    other = replace(SMALL, episodes=SMALL.episodes + 1, exploration='objects')
    with pytest.raises(InvalidInputError, match=r'exploration reach, wanted is objects'):
        next(collect(other, tmp_path))
