# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vjepa_planner.data.episodes import describe_shard, Episodes, load_episodes, save_shard
from vjepa_planner.errors import InvalidInputError


def some_episodes(first_seed: int, count: int = 2, frames: int = 3, size: int = 16) -> Episodes:
    rng = np.random.default_rng(first_seed)
    return Episodes(
        images=rng.integers(0, 256, (count, frames, size, size, 3), dtype=np.uint8),
        states=rng.normal(size=(count, frames, 7)).astype(np.float32),
        seeds=np.arange(first_seed, first_seed + count),
    )


def test_what_was_saved_is_loaded_in_the_order_of_the_seeds(tmp_path: Path) -> None:
    parts = [some_episodes(0), some_episodes(2)]
    for part in reversed(parts):
        save_shard(tmp_path / f'shard-{part.seeds[0]:06d}.npz', part)
    loaded = load_episodes(tmp_path)
    assert len(loaded) == 4
    assert loaded.seeds.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(loaded.images, np.concatenate([p.images for p in parts]))
    np.testing.assert_array_equal(loaded.states, np.concatenate([p.states for p in parts]))


def test_a_shard_is_described_without_reading_its_images(tmp_path: Path) -> None:
    path = tmp_path / 'shard-000005.npz'
    save_shard(path, some_episodes(5))
    shape, seeds = describe_shard(path)
    assert shape == (2, 3, 16, 16, 3)
    assert seeds.tolist() == [5, 6]


def test_a_shard_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    save_shard(tmp_path / 'shard-000000.npz', some_episodes(0))
    whole = (tmp_path / 'shard-000000.npz').read_bytes()
    # What save_shard leaves when the process is killed while it writes.
    (tmp_path / 'shard-000002.partial').write_bytes(whole[: len(whole) // 2])
    assert load_episodes(tmp_path).seeds.tolist() == [0, 1]


def test_saving_leaves_nothing_but_the_shard(tmp_path: Path) -> None:
    save_shard(tmp_path / 'new' / 'shard-000000.npz', some_episodes(0))
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['shard-000000.npz']


def test_a_damaged_shard_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / 'shard-000000.npz'
    save_shard(path, some_episodes(0))
    path.write_bytes(path.read_bytes()[:-200])
    for read in (lambda: load_episodes(tmp_path), lambda: describe_shard(path)):
        with pytest.raises(InvalidInputError, match=r'shard-000000\.npz cannot be read.*Delete'):
            read()


def test_a_directory_without_episodes_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match='vjepa collect --out'):
        load_episodes(tmp_path)


def test_shards_of_different_lengths_are_not_mixed(tmp_path: Path) -> None:
    save_shard(tmp_path / 'shard-000000.npz', some_episodes(0))
    save_shard(tmp_path / 'shard-000002.npz', some_episodes(2, frames=4))
    with pytest.raises(InvalidInputError, match='differ in length or image size'):
        load_episodes(tmp_path)


def test_images_and_states_that_do_not_belong_together_are_refused() -> None:
    good = some_episodes(0)
    with pytest.raises(InvalidInputError, match=r'\(2, 3, 16, 16, 3\) and \(2, 2, 7\)'):
        Episodes(images=good.images, states=good.states[:, 1:], seeds=good.seeds)
