# SPDX-License-Identifier: Apache-2.0
"""Datasets on disk: LeRobot's layout, and whole episodes whatever happens to the writer."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import made_recordings as made
import numpy as np
import pyarrow.parquet as pq
import pytest

from vjepa_planner.data.dataset import is_dataset, open_dataset
from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.readers import open_source
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import compose_states


def episode(seed: int, frames: int = 4) -> Episode:
    rng = np.random.default_rng(seed)
    whole = made.make_episode(made.make_motion(seed), seed)
    return replace(
        whole,
        images=rng.integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8),
        states=whole.states[:frames],
        task=f'task {seed % 2}',
        facts={'source': 'test', 'camera': 'front'},
    )


def assert_holds(root: Path, expected: list[Episode]) -> None:
    source = open_source(root)
    assert len(source) == len(expected)
    for index, wanted in enumerate(expected):
        (read,) = source.read(index)
        np.testing.assert_array_equal(read.images, wanted.images)
        np.testing.assert_array_equal(read.states, wanted.states)
        assert (read.seed, read.task) == (wanted.seed, wanted.task)
        assert (read.step_duration, read.camera) == (wanted.step_duration, wanted.camera)
        assert dict(wanted.facts).items() <= dict(read.facts).items()


def test_episodes_of_any_length_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    episodes = [episode(i, frames=2 + i) for i in range(4)]
    with DatasetWriter(tmp_path) as writer:
        writer.add(*episodes[:2])
        writer.flush()
        writer.add(*episodes[2:])
        assert len(writer) == 4
    assert_holds(tmp_path, episodes)


def test_files_and_columns_are_those_of_lerobot(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(0), episode(1, 3))
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()} == {
        'meta/info.json',
        'meta/stats.json',
        'meta/tasks.parquet',
        'meta/episodes/chunk-000/file-000.parquet',
        'data/chunk-000/file-000.parquet',
    }
    info = json.loads((tmp_path / 'meta/info.json').read_text())
    assert (info['codebase_version'], info['fps']) == ('v3.0', 1)
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (2, 7, 2)
    assert info['splits'] == {'train': '0:2'}
    assert info['features']['observation.images.camera'] == {
        'dtype': 'image',
        'shape': [16, 16, 3],
        'names': ['height', 'width', 'channels'],
    }
    rows = pq.read_table(tmp_path / 'data/chunk-000/file-000.parquet')
    assert set(rows.column_names) == set(info['features'])
    assert rows['frame_index'].to_pylist() == [0, 1, 2, 3, 0, 1, 2]
    assert rows['episode_index'].to_pylist() == [0, 0, 0, 0, 1, 1, 1]
    assert rows['index'].to_pylist() == list(range(7))
    assert rows['task_index'].to_pylist() == [0, 0, 0, 0, 1, 1, 1]
    assert rows['timestamp'].to_pylist() == [0, 1, 2, 3, 0, 1, 2]
    assert rows['next.done'].to_pylist() == [False, False, False, True, False, False, True]
    assert b'"_type": "Image"' in rows.schema.metadata[b'huggingface']
    tasks = pq.read_table(tmp_path / 'meta/tasks.parquet')
    assert tasks.to_pydict() == {'task_index': [0, 1], 'task': ['task 0', 'task 1']}
    assert json.loads(tasks.schema.metadata[b'pandas'])['index_columns'] == ['task']


def test_actions_lead_from_each_state_to_the_next(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(0))
    rows = pq.read_table(tmp_path / 'data/chunk-000/file-000.parquet')
    states, actions = (
        np.array(rows[name].to_pylist()) for name in ('observation.state', 'action')
    )
    np.testing.assert_allclose(compose_states(states[:-1], actions[:-1]), states[1:], atol=1e-6)
    assert not actions[-1].any()


def test_statistics_are_those_of_all_frames(tmp_path: Path) -> None:
    episodes = [episode(i, frames=2 + i) for i in range(4)]
    for part in (episodes[:1], episodes[1:]):
        with DatasetWriter(tmp_path) as writer:
            writer.add(*part)
    stats = json.loads((tmp_path / 'meta/stats.json').read_text())
    states = np.concatenate([item.states for item in episodes]).astype(np.float64)
    pixels = np.concatenate([item.images.reshape(-1, 3) for item in episodes]) / 255
    for values, feature in ((states, 'observation.state'), (pixels, 'observation.images.camera')):
        found = {name: np.ravel(value) for name, value in stats[feature].items()}
        for name in ('min', 'max', 'mean', 'std'):
            np.testing.assert_allclose(found[name], getattr(values, name)(axis=0), atol=1e-9)
        assert found['count'] == [14]


def test_a_writer_that_is_killed_leaves_the_episodes_before(tmp_path: Path) -> None:
    first, second = episode(0), episode(1)
    with DatasetWriter(tmp_path) as writer:
        writer.add(first)
    # Killed while it wrote frames, and after it wrote them but not their description.
    data = tmp_path / 'data/chunk-000'
    (data / 'file-001.parquet.partial').write_bytes(b'half')
    (data / 'file-001.parquet').write_bytes((data / 'file-000.parquet').read_bytes())
    assert_holds(tmp_path, [first])
    with DatasetWriter(tmp_path) as writer:
        assert sorted(path.name for path in data.iterdir()) == ['file-000.parquet']
        writer.add(second)
    assert_holds(tmp_path, [first, second])


def test_a_writer_that_is_killed_before_it_counted_an_episode_finds_it_again(
    tmp_path: Path,
) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(0))
    before = (tmp_path / 'meta/info.json').read_text()
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(1))
    (tmp_path / 'meta/info.json').write_text(before)
    assert_holds(tmp_path, [episode(0), episode(1)])
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(2))
    assert_holds(tmp_path, [episode(0), episode(1), episode(2)])
    info = json.loads((tmp_path / 'meta/info.json').read_text())
    assert (info['total_episodes'], info['total_frames']) == (3, 12)


def test_a_writer_that_is_killed_during_its_first_file_can_begin_again(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(0))
    (tmp_path / 'meta/episodes/chunk-000/file-000.parquet').unlink()
    assert len(open_dataset(tmp_path).episodes) == 0
    with DatasetWriter(tmp_path) as writer:
        writer.add(episode(1))
    assert_holds(tmp_path, [episode(1)])


def test_an_error_does_not_cost_the_episodes_before_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError), DatasetWriter(tmp_path) as writer:
        writer.add(episode(0), replace(episode(1), camera='another'))
    assert_holds(tmp_path, [episode(0)])


def test_an_episode_of_another_kind_is_refused_and_the_dataset_stays(tmp_path: Path) -> None:
    good = episode(0)
    with DatasetWriter(tmp_path) as writer:
        writer.add(good)
    wrong = [
        (replace(good, step_duration=0.5), 'every 0.5 s'),
        (replace(good, camera='wrist'), 'images of wrist'),
        (replace(good, images=good.images[:, :8]), '16 x 8 px'),
        (replace(good, states=good.states * np.nan), 'NaN'),
    ]
    for item, complaint in wrong:
        with DatasetWriter(tmp_path) as writer, pytest.raises(InvalidInputError, match=complaint):
            writer.add(item)
    assert_holds(tmp_path, [good])


def test_what_is_not_ours_is_not_touched(tmp_path: Path) -> None:
    foreign = made.write_foreign(tmp_path / 'foreign', [made.make_motion()])
    with pytest.raises(InvalidInputError, match='was not made by vjepa'):
        DatasetWriter(foreign)
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/me.png').write_bytes(b'')
    with pytest.raises(InvalidInputError, match='holds something else'):
        DatasetWriter(tmp_path / 'photos')
    assert not is_dataset(tmp_path / 'photos')


def test_parts_of_an_episode_that_do_not_fit_are_refused() -> None:
    good = episode(0)
    for wrong in (
        {'images': good.images[:2]},
        {'images': good.images.astype(np.float32)},
        {'states': good.states[:, :6]},
        {'step_duration': 0.0},
    ):
        with pytest.raises(InvalidInputError):
            replace(good, **wrong)
