# SPDX-License-Identifier: Apache-2.0
"""What looks wrong with recordings is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made_recordings as made
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.inspection import inspect, Inspection
from vjepa_planner.data.readers import open_source, ReadOptions

GOOD = made.make_episode(made.make_motion(), 1)


def look(path: Path, **options: object) -> Inspection:
    *_, report = inspect(open_source(path, ReadOptions(**options)))
    return report


def look_at(root: Path, *episodes: Episode) -> Inspection:
    with DatasetWriter(root) as writer:
        writer.add(*episodes)
    return look(root)


def with_states(change: Callable[[np.ndarray], None]) -> Episode:
    states = GOOD.states.copy()
    change(states)
    return replace(GOOD, states=states)


def test_a_good_dataset_has_no_findings_and_the_numbers_are_right(tmp_path: Path) -> None:
    short = replace(GOOD, images=GOOD.images[:3], states=GOOD.states[:3], seed=2)
    report = look_at(tmp_path, GOOD, short)
    assert report.findings == []
    assert (report.recordings, report.episodes, report.frames) == (2, 2, 9)
    assert (report.shortest, report.longest) == (3, 6)
    assert (report.cameras, report.images, report.step_durations) == (['camera'], ['32x32'], [1.0])
    np.testing.assert_allclose(report.state_min, GOOD.states.min(axis=0))
    np.testing.assert_allclose(report.action_max, GOOD.actions().max(axis=0))
    assert 'closedness' in '\n'.join(report.table())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: s.__setitem__((slice(None), slice(0, 3)), s[:, :3] * 1000), 'millimetres?'),
        (lambda s: s.__setitem__((slice(None), slice(3, 6)), np.rad2deg(s[:, 3:6])), 'degrees?'),
        (lambda s: s.__setitem__((slice(None), 6), 1.5), 'outside 0..1'),
        (lambda s: s.__setitem__((3, 0), s[3, 0] + 0.5), 'jumps'),
        (lambda s: s.__setitem__(slice(None), s[0]), 'does not move'),
    ],
)
def test_what_is_wrong_with_states_is_found(
    tmp_path: Path, change: Callable[[np.ndarray], None], words: str
) -> None:
    report = look_at(tmp_path, GOOD, with_states(change))
    found = [finding for finding in report.findings if words in finding.what]
    assert len(found) == 1, report.findings
    assert 'recording 1' in found[0].first


def test_a_jump_is_counted_and_placed(tmp_path: Path) -> None:
    bad = with_states(lambda s: s.__setitem__((3, 0), s[3, 0] + 0.5))
    (finding,) = look_at(tmp_path, bad).findings
    assert finding.count == 2  # there and back
    assert finding.first.endswith('frame 2')


def test_frozen_images_are_found_only_while_the_arm_moves(tmp_path: Path) -> None:
    images = GOOD.images.copy()
    images[3] = images[2]
    (finding,) = look_at(tmp_path / 'frozen', replace(GOOD, images=images)).findings
    assert 'frozen images' in finding.what
    assert finding.first.endswith('frame 3')
    resting = with_states(lambda s: s.__setitem__(3, s[2]))
    assert look_at(tmp_path / 'rest', replace(resting, images=images)).findings == []


def test_an_episode_of_one_frame_is_useless(tmp_path: Path) -> None:
    report = look_at(tmp_path, replace(GOOD, images=GOOD.images[:1], states=GOOD.states[:1]))
    assert ['single frame' in finding.what for finding in report.findings] == [True]


@pytest.mark.parametrize(
    ('times', 'words'),
    [([0, 1, 2, 5, 6, 7], 'missing frames'), ([0, 1, 2, 2, 3, 4], 'stand still')],
)
def test_clocks_that_do_not_keep_step_are_found(
    tmp_path: Path, times: list[float], words: str
) -> None:
    look_at(tmp_path, GOOD)
    (path,) = (tmp_path / 'data').rglob('*.parquet')
    rows = pq.read_table(path)
    column = rows.column_names.index('timestamp')
    pq.write_table(rows.set_column(column, 'timestamp', pa.array(times, pa.float32())), path)
    (finding,) = look(tmp_path).findings
    assert words in finding.what
    assert 'frame 3' in finding.first


def test_states_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    motion = made.make_motion()
    motion.states[2, 1] = np.nan
    root = made.write_foreign(tmp_path / 'set', [motion])
    (finding,) = look(root, step_duration=1.0, image_size=16).findings
    assert 'NaN' in finding.what


def test_gaps_and_broken_recordings_are_found(tmp_path: Path) -> None:
    made.write_bag(tmp_path / 'gap', made.make_motion(), gap=(1.5, 2.9))
    made.write_bag(tmp_path / 'broken', made.make_motion(), backwards=True)
    report = look(tmp_path, image_size=16)
    assert (report.recordings, report.episodes) == (2, 2)
    assert {(f.what, f.count) for f in report.findings} == {
        ('recordings that cannot be read', 1),
        ('recordings with gaps, which cut them', 1),
    }
