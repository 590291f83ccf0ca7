# SPDX-License-Identifier: Apache-2.0
"""Datasets of others: the state is found by names, or the reader says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made_recordings as made
import numpy as np
import pytest

from vjepa_planner.data.readers import open_source, ReadOptions, UnreadableRecordingError
from vjepa_planner.data.state_columns import assemble_state, find_state, parse_state
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import euler_to_quaternion_xyzw

MOTIONS = [made.make_motion(seed) for seed in range(3)]


def features(**names: list[str]) -> dict[str, dict[str, Any]]:
    return {
        f'observation.{key}': {'dtype': 'float32', 'shape': [len(value)], 'names': value}
        for key, value in names.items()
    }


@pytest.mark.parametrize('version', ['v3.0', 'v2.1'])
def test_every_episode_gets_its_own_images_also_out_of_one_video(
    tmp_path: Path, version: str
) -> None:
    root = made.write_foreign(tmp_path / 'set', MOTIONS, version)
    source = open_source(root, ReadOptions(step_duration=0.5, image_size=16))
    assert len(source) == 3
    for index in (2, 0, 1):
        (episode,) = source.read(index)
        expected = np.stack([MOTIONS[index].state_at(i / 2) for i in range(len(episode))])
        np.testing.assert_allclose(episode.states, expected, atol=1e-5)
        # At whole seconds: in between the colour changes.
        np.testing.assert_allclose(
            episode.images[::2].mean(axis=(1, 2)), MOTIONS[index].colors, atol=12
        )
        assert episode.task == 'stack'
        assert episode.camera == 'exterior_1_left'


def test_steps_that_are_no_multiple_of_the_frames_are_refused(tmp_path: Path) -> None:
    root = made.write_foreign(tmp_path / 'set', MOTIONS[:1])
    for wrong in (0.05, 0.25):
        with pytest.raises(InvalidInputError, match=r'multiple of 0\.1 s'):
            open_source(root, ReadOptions(step_duration=wrong))


def test_a_state_is_found_under_the_names_that_people_use() -> None:
    for names in (
        ['x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper'],
        ['eef_x', 'eef_y', 'eef_z', 'eef_roll', 'eef_pitch', 'eef_yaw', 'gripper_position'],
        ['tcp.pos.x', 'tcp.pos.y', 'tcp.pos.z', 'roll', 'pitch', 'yaw', 'gripper.pos'],
        ['x', 'y', 'z', 'rx', 'ry', 'rz', 'closedness'],  # as we write it
    ):
        found = find_state(features(state=names))
        assert [column.place for column in found] == list(range(7)), names
    split = features(pose=['x', 'y', 'z', 'qx', 'qy', 'qz', 'qw'], hand=['gripper'])
    assert [tuple(column) for column in find_state(split)][-2:] == [
        ('observation.pose', 6),
        ('observation.hand', 0),
    ]


@pytest.mark.parametrize(
    'names',
    [
        ['shoulder_pan.pos', 'shoulder_lift.pos', 'elbow.pos', 'gripper.pos'],
        ['x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'],  # Euler angles or a rotation vector?
        ['x', 'y', 'z', 'roll', 'pitch', 'yaw'],
        [],
    ],
)
def test_a_state_that_is_not_there_is_not_guessed(names: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=r'observation\.state \(.*--set'):
        find_state(features(state=names))


def test_the_user_can_say_where_the_numbers_are() -> None:
    given = features(state=['a', 'b', 'c'], more=['d', 'e', 'f', 'g'])
    texts = [f'observation.state:{i}' for i in 'abc'] + [f'observation.more:{i}' for i in range(4)]
    assert [column.place for column in parse_state(texts, given)] == [0, 1, 2, 0, 1, 2, 3]
    with pytest.raises(InvalidInputError, match='got 6'):
        parse_state(texts[:6], given)
    for wrong in ('observation.state:3', 'observation.state:z', 'nothing:0', 'a'):
        with pytest.raises(InvalidInputError, match='is no number of a feature'):
            parse_state([*texts[:6], wrong], given)


def test_units_and_grippers_of_others_become_ours() -> None:
    ours = np.array([[0.4, -0.1, 0.3, 3.0, 0.1, -0.5, 0.25]])
    theirs = ours.copy()
    theirs[:, :3] *= 1000
    theirs[:, 3:6] = np.rad2deg(theirs[:, 3:6])
    theirs[:, 6] = 0.08 * (1 - theirs[:, 6])
    units = {'metre': 0.001, 'radian': np.pi / 180, 'gripper_open': 0.08, 'gripper_closed': 0.0}
    np.testing.assert_allclose(assemble_state(theirs, **units), ours, atol=1e-6)
    quaternion = np.hstack([ours[:, :3], euler_to_quaternion_xyzw(ours[:, 3:6]), ours[:, 6:]])
    np.testing.assert_allclose(assemble_state(quaternion), ours, atol=1e-6)


def test_settings_reach_the_state(tmp_path: Path) -> None:
    root = made.write_foreign(tmp_path / 'set', MOTIONS[:1])
    source = open_source(
        root,
        ReadOptions(step_duration=1.0, image_size=16),
        length_unit='mm',
        gripper_open=1.0,
        gripper_closed=0.0,
        ee_frame='tool0',
    )
    (episode,) = source.read(0)
    np.testing.assert_allclose(episode.states[:, :3], MOTIONS[0].states[:, :3] / 1000, atol=1e-6)
    np.testing.assert_allclose(episode.states[:, 6], 1 - MOTIONS[0].states[:, 6], atol=1e-6)
    assert episode.facts['ee_frame'] == 'tool0'
    with pytest.raises(InvalidInputError, match='unit'):
        open_source(root, length_unit='inch')
    with pytest.raises(InvalidInputError, match='must differ'):
        open_source(root, gripper_open=1)


def test_a_dataset_of_another_version_or_without_a_camera_is_refused(tmp_path: Path) -> None:
    root = made.write_foreign(tmp_path / 'set', MOTIONS[:1])
    with pytest.raises(InvalidInputError, match='it has exterior_1_left'):
        open_source(root, ReadOptions(camera='wrist'))
    info = json.loads((root / 'meta/info.json').read_text())
    (root / 'meta/info.json').write_text(json.dumps(info | {'codebase_version': 'v1.6'}))
    with pytest.raises(InvalidInputError, match=r'version v1\.6; v3\.0 and v2\.1 are read'):
        open_source(root)
    (root / 'meta/info.json').write_text('{}')
    with pytest.raises(InvalidInputError, match='damaged'):
        open_source(root)


def test_a_missing_video_spoils_only_its_episode(tmp_path: Path) -> None:
    root = made.write_foreign(tmp_path / 'set', MOTIONS[:2], 'v2.1')
    (video,) = root.rglob('episode_000000.mp4')
    video.unlink()
    source = open_source(root, ReadOptions(image_size=16))
    with pytest.raises(UnreadableRecordingError, match='episode 0: no video at'):
        source.read(0)
    assert source.read(1)
