# SPDX-License-Identifier: Apache-2.0
"""Bags: topics, gaps and clocks."""

from __future__ import annotations

from pathlib import Path

import made_recordings as made
import numpy as np
import pytest

from vjepa_planner.data.readers import open_source, ReadOptions, UnreadableRecordingError
from vjepa_planner.errors import InvalidInputError

MOTION = made.make_motion()
OPTIONS = ReadOptions(step_duration=1.0, image_size=32)


def said(path: Path, options: ReadOptions = OPTIONS, **settings: object) -> str:
    with pytest.raises(UnreadableRecordingError) as caught:
        open_source(path, options, **settings).read(0)
    return str(caught.value)


def test_a_gap_cuts_a_bag_into_episodes_and_nothing_is_made_up(tmp_path: Path) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION, gap=(1.5, 2.9))
    first, second = open_source(bag, OPTIONS).read(0)
    np.testing.assert_allclose(first.states, MOTION.states[:2], atol=1e-5)
    np.testing.assert_allclose(second.states, MOTION.states[3:], atol=1e-5)
    assert float(second.facts['start']) - float(first.facts['start']) == pytest.approx(3.0)


def test_states_are_those_of_the_moment_of_the_image_not_of_the_nearest_pose(
    tmp_path: Path,
) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION)
    (episode,) = open_source(bag, ReadOptions(step_duration=0.25, image_size=16)).read(0)
    expected = np.stack([MOTION.state_at(i / 4) for i in range(len(episode))])
    np.testing.assert_allclose(episode.states[:, :3], expected[:, :3], atol=1e-5)
    np.testing.assert_allclose(episode.states[:, 6], expected[:, 6], atol=1e-5)


def test_steps_shorter_than_images_come_are_refused(tmp_path: Path) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION)
    assert 'images come every 0.25 s' in said(bag, ReadOptions(step_duration=0.1))


def test_a_clock_that_goes_back_is_reported(tmp_path: Path) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION, backwards=True)
    assert '/camera/image_raw go back by 1.750 s' in said(bag)


def test_topics_can_be_named_and_wrong_ones_are_answered_with_those_there_are(
    tmp_path: Path,
) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION)
    (episode,) = open_source(bag, OPTIONS, pose_topic='/arm/target_pose').read(0)
    np.testing.assert_allclose(episode.states[:, :3], MOTION.states[[0] * 6, :3], atol=1e-5)
    assert '/arm/current_pose, /arm/target_pose' in said(bag, pose_topic='/nowhere')
    elsewhere = ReadOptions(step_duration=1.0, camera='/other')
    assert '/camera/image_raw. Say it with --camera' in said(bag, elsewhere)
    assert 'no messages of left and right' in said(bag, finger_joints=['left', 'right'])
    assert "'fr3_link0', not 'world'" in said(bag, base_frame='world')


def test_a_directory_of_bags_is_many_recordings_and_a_bad_one_spoils_only_itself(
    tmp_path: Path,
) -> None:
    for name in ('a', 'b'):
        made.write_bag(tmp_path / name, MOTION)
    (broken,) = (tmp_path / 'a').glob('*.mcap')
    broken.write_bytes(broken.read_bytes()[:100])
    source = open_source(tmp_path, OPTIONS)
    assert [source.name(i) for i in range(len(source))] == ['a', 'b']
    with pytest.raises(UnreadableRecordingError, match='a: '):
        source.read(0)
    assert len(source.read(1)[0]) == made.FRAMES


def test_a_single_file_is_a_recording(tmp_path: Path) -> None:
    (file,) = made.write_bag(tmp_path / 'bag', MOTION).glob('*.mcap')
    (episode,) = open_source(file, OPTIONS).read(0)
    assert len(episode) == made.FRAMES


def test_settings_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    bag = made.write_bag(tmp_path / 'bag', MOTION)
    for wrong in ({'gripper_width': 'wide'}, {'pose_topic': 3}, {'finger_joints': [1, 2]}):
        with pytest.raises(InvalidInputError, match='must be like'):
            open_source(bag, OPTIONS, **wrong)
