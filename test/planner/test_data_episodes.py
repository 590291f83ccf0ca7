# SPDX-License-Identifier: Apache-2.0
"""Datasets in memory: windows of equal length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_recordings as made
import numpy as np
import pytest

from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.episodes import CHECK_SEEDS_FROM, Episodes, load_episodes, NO_SEED
from vjepa_planner.errors import InvalidInputError


def numbered(frames: int, seed: int | None = None, size: int = 16) -> Episode:
    """Return an episode whose images show the number of the frame."""
    images = (
        np.zeros((frames, size, size, 3), np.uint8)
        + np.arange(frames, dtype=np.uint8)[:, None, None, None]
    )
    states = np.zeros((frames, 7), np.float32)
    states[:, 0] = np.arange(frames) / 100
    return Episode(images=images, states=states, step_duration=0.5, seed=seed)


def write(root: Path, *episodes: Episode) -> Path:
    with DatasetWriter(root) as writer:
        writer.add(*episodes)
    return root


def shown(loaded: Episodes) -> list[list[int]]:
    """Return the numbers of the frames in each window."""
    numbers = loaded.images[:, :, 0, 0, 0]
    np.testing.assert_allclose(loaded.states[:, :, 0] * 100, numbers, atol=1e-4)
    return numbers.tolist()


def test_equally_long_episodes_are_loaded_as_they_are(tmp_path: Path) -> None:
    loaded = load_episodes(write(tmp_path, numbered(3, 7), numbered(3, 8)))
    assert shown(loaded) == [[0, 1, 2], [0, 1, 2]]
    assert loaded.seeds.tolist() == [7, 8]
    assert loaded.states.dtype == np.float32


def test_long_episodes_give_windows_with_every_frame_in_one_and_short_ones_none(
    tmp_path: Path,
) -> None:
    write(tmp_path, numbered(7, 1), numbered(2, 2), numbered(3, 3), numbered(6, 4))
    loaded = load_episodes(tmp_path, frames=3)
    assert shown(loaded) == [
        [0, 1, 2], [2, 3, 4], [4, 5, 6],
        [0, 1, 2],
        [0, 1, 2], [3, 4, 5],
    ]  # fmt: skip
    assert loaded.seeds.tolist() == [1, 1, 1, 3, 4, 4]


def test_longer_steps_take_every_so_many_frames(tmp_path: Path) -> None:
    write(tmp_path, numbered(7))
    loaded = load_episodes(tmp_path, step_duration=1.0)
    assert shown(loaded) == [[0, 2, 4, 6]]
    assert loaded.seeds.tolist() == [NO_SEED]


def test_images_are_scaled_on_request(tmp_path: Path) -> None:
    episode = numbered(3)
    wide = np.repeat(episode.images, 2, axis=2)
    write(tmp_path, replace(episode, images=wide))
    with pytest.raises(InvalidInputError, match=r'32 x 16 px.*image_size'):
        load_episodes(tmp_path)
    assert load_episodes(tmp_path, image_size=16).images.shape == (1, 3, 16, 16, 3)


def test_shards_of_earlier_versions_are_read(tmp_path: Path) -> None:
    motions = [made.make_motion(seed) for seed in range(3)]
    made.write_shard(tmp_path, motions[:2], 10)
    made.write_shard(tmp_path, motions[2:], 12)
    loaded = load_episodes(tmp_path)
    assert loaded.seeds.tolist() == [10, 11, 12]
    np.testing.assert_allclose(loaded.states[2], motions[2].states, atol=1e-6)


def test_more_episodes_than_are_decoded_ahead_keep_their_order(tmp_path: Path) -> None:
    write(tmp_path, *(numbered(2, seed) for seed in range(90)))
    assert load_episodes(tmp_path).seeds.tolist() == list(range(90))


def test_seeds_that_are_kept_for_checking_are_refused(tmp_path: Path) -> None:
    write(tmp_path, numbered(2, CHECK_SEEDS_FROM))
    with pytest.raises(InvalidInputError, match='kept for checking'):
        load_episodes(tmp_path)


def test_what_cannot_be_loaded_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match='vjepa collect --out'):
        load_episodes(tmp_path / 'nothing')
    write(tmp_path / 'set', numbered(2), numbered(4))
    with pytest.raises(InvalidInputError, match=r'2 to 4 frames.*frames'):
        load_episodes(tmp_path / 'set')
    with pytest.raises(InvalidInputError, match=r'no episode .* has 5 frames; the longest has 4'):
        load_episodes(tmp_path / 'set', frames=5)
    made.write_bag(tmp_path / 'bag', made.make_motion())
    with pytest.raises(InvalidInputError, match='vjepa data convert'):
        load_episodes(tmp_path / 'bag')
    (data,) = (tmp_path / 'set/data').rglob('*.parquet')
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(InvalidInputError, match=r'episode 0: .* cannot be read'):
        load_episodes(tmp_path / 'set', frames=2)


def test_images_and_states_that_do_not_belong_together_are_refused() -> None:
    images = np.zeros((2, 3, 16, 16, 3), np.uint8)
    with pytest.raises(InvalidInputError, match=r'\(2, 3, 16, 16, 3\) and \(2, 2, 7\)'):
        Episodes(images=images, states=np.zeros((2, 2, 7), np.float32), seeds=np.arange(2))
