# SPDX-License-Identifier: Apache-2.0
"""One contract over all readers: the same motion, recorded in every way, is read as the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import made_recordings as made
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from vjepa_planner.data.convert import convert
from vjepa_planner.data.episodes import load_episodes
from vjepa_planner.data.readers import (
    available_readers,
    open_source,
    ReadOptions,
    recognise,
    source_config_class,
    UnreadableRecordingError,
)
from vjepa_planner.errors import InvalidInputError, UnknownNameError

MOTION = made.make_motion()
WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    'ours': ('lerobot', lambda path: made.write_ours(path, [MOTION])),
    'lerobot-3.0': ('lerobot', lambda path: made.write_foreign(path, [MOTION])),
    'lerobot-2.1': ('lerobot', lambda path: made.write_foreign(path, [MOTION], 'v2.1')),
    'mcap': ('rosbag', lambda path: made.write_bag(path, MOTION)),
    'sqlite3': ('rosbag', lambda path: made.write_bag(path, MOTION, StoragePlugin.SQLITE3)),
    'compressed': ('rosbag', lambda path: made.write_bag(path, MOTION, compressed=True)),
    'droid': ('droid', lambda path: made.write_droid(path, MOTION)),
    'shards': ('shards', lambda path: made.write_shard(path, [MOTION])),
}
STEP = {'shards': None}  # the steps of shards cannot be chosen; 1 s for all others
LOSSY = 12  # levels by which a video may change a colour


@pytest.fixture(params=WRITERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def recording(kind: str, tmp_path: Path) -> Path:
    return WRITERS[kind][1](tmp_path / 'recording')


def options(kind: str, image_size: int | None = 32) -> ReadOptions:
    return ReadOptions(step_duration=STEP.get(kind, 1.0), image_size=image_size)


def test_the_registry_has_a_test_for_every_reader() -> None:
    assert {reader for reader, _ in WRITERS.values()} == set(available_readers())


def test_a_recording_is_recognised(kind: str, recording: Path) -> None:
    assert recognise(recording) == WRITERS[kind][0]


def test_states_and_images_are_those_of_the_motion(kind: str, recording: Path) -> None:
    source = open_source(recording, options(kind))
    assert len(source) == 1
    (episode,) = source.read(0)
    np.testing.assert_allclose(episode.states, MOTION.states, atol=1e-5)
    assert episode.images.shape == (made.FRAMES, 32, 32, 3)
    difference = episode.images.astype(int) - MOTION.colors[:, None, None].astype(int)
    assert np.abs(difference).max() <= LOSSY
    assert episode.step_duration == (STEP.get(kind, 1.0) or 0.66)
    assert episode.facts['source']


def test_images_keep_their_size_unless_told_otherwise(kind: str, recording: Path) -> None:
    (episode,) = open_source(recording, options(kind, image_size=None)).read(0)
    square = kind in ('ours', 'shards')
    assert episode.images.shape[1:3] == ((32, 32) if square else (made.HEIGHT, made.WIDTH))


def test_converting_it_twice_gives_one_dataset_that_training_can_load(
    kind: str, recording: Path, tmp_path: Path
) -> None:
    source = open_source(recording, options(kind))
    *_, report = convert(source, tmp_path / 'dataset')
    assert (report.episodes, report.frames, report.skipped) == (1, made.FRAMES, [])
    *_, again = convert(source, tmp_path / 'dataset')
    assert (again.episodes, again.present) == (0, 1)
    loaded = load_episodes(tmp_path / 'dataset')
    (episode,) = source.read(0)
    np.testing.assert_array_equal(loaded.images[0], episode.images)
    np.testing.assert_array_equal(loaded.states[0], episode.states)


def test_recordings_of_the_same_name_in_two_places_are_two(tmp_path: Path) -> None:
    motions = [made.make_motion(seed) for seed in range(2)]
    for place, motion in zip(('monday', 'tuesday'), motions, strict=True):
        bag = made.write_bag(tmp_path / place / 'bag', motion)
        *_, report = convert(open_source(bag, options('mcap')), tmp_path / 'dataset')
        assert (report.episodes, report.present) == (1, 0)
    loaded = load_episodes(tmp_path / 'dataset')
    np.testing.assert_allclose(loaded.states[1], motions[1].states, atol=1e-5)


def test_settings_that_a_reader_does_not_have_are_refused(recording: Path) -> None:
    with pytest.raises(UnknownNameError, match='nonsense'):
        open_source(recording, nonsense=1)


def test_an_empty_directory_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match='holds no recordings that are known'):
        open_source(tmp_path)
    with pytest.raises(InvalidInputError, match='nothing is at'):
        open_source(tmp_path / 'nowhere')
    with pytest.raises(UnknownNameError, match='reader'):
        source_config_class('rosbags')


@pytest.mark.parametrize('wrong', [{'image_size': 4}, {'step_duration': 0.0}, {'crop': 'round'}])
def test_impossible_wishes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        ReadOptions(**wrong)


def test_a_recording_that_is_cut_off_is_named(kind: str, recording: Path) -> None:
    files = [path for path in recording.rglob('*') if path.is_file()]
    largest = max((f for f in files if f.suffix != '.mp4'), key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(InvalidInputError) as caught:
        open_source(recording, options(kind)).read(0)
    assert str(recording) in str(caught.value) or 'episode 0' in str(caught.value)
    assert 'Traceback' not in str(caught.value)
    assert isinstance(caught.value, UnreadableRecordingError | InvalidInputError)
