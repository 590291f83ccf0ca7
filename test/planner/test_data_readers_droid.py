# SPDX-License-Identifier: Apache-2.0
"""DROID: steps are steps of physical time, whatever the videos claim."""

from __future__ import annotations

from pathlib import Path

import h5py
import imageio_ffmpeg
import made_recordings as made
import numpy as np
import pytest

from vjepa_planner.data.readers import open_source, ReadOptions, UnreadableRecordingError

MOTION = made.make_motion()


def test_a_step_is_a_second_although_the_video_claims_sixty_frames_per_second(
    tmp_path: Path,
) -> None:
    root = made.write_droid(tmp_path, MOTION)
    (video,) = root.rglob('12345.mp4')
    claimed = next(imageio_ffmpeg.read_frames(video))
    assert (claimed['fps'], claimed['duration']) == (60, pytest.approx(76 / 60, abs=0.05))
    (episode,) = open_source(root, ReadOptions(image_size=16)).read(0)
    assert (len(episode), episode.step_duration) == (made.FRAMES, 1.0)
    np.testing.assert_allclose(episode.states, MOTION.states, atol=1e-5)
    colors = episode.images.mean(axis=(1, 2))
    np.testing.assert_allclose(colors, MOTION.colors, atol=12)


@pytest.mark.parametrize(('rate', 'seconds'), [(15.0, 1), (30.0, 2)])
def test_without_time_stamps_the_rate_that_is_given_counts(
    tmp_path: Path, rate: float, seconds: int
) -> None:
    root = made.write_droid(tmp_path, MOTION, timestamps=False)
    step = ReadOptions(step_duration=1.0, image_size=16)
    (episode,) = open_source(root, step, rate=rate).read(0)
    np.testing.assert_allclose(episode.states, MOTION.states[::seconds], atol=1e-5)


def test_what_is_known_about_a_trajectory_is_kept(tmp_path: Path) -> None:
    (episode,) = open_source(made.write_droid(tmp_path, MOTION)).read(0)
    assert episode.task == 'move the cup'
    assert episode.facts['uuid'] == 'LAB+1+2023'
    assert episode.facts['ee_frame'] == 'fr3_link8'
    assert episode.camera == 'left'


def test_a_video_that_ends_early_shortens_the_episode(tmp_path: Path) -> None:
    root = made.write_droid(tmp_path, MOTION)
    (video,) = root.rglob('12345.mp4')
    video.unlink()
    made.write_video(video, [MOTION.image_at(i / 15) for i in range(40)], 60)
    (episode,) = open_source(root, ReadOptions(image_size=16)).read(0)
    np.testing.assert_allclose(episode.states, MOTION.states[:3], atol=1e-5)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = made.write_droid(tmp_path, MOTION)

    def said(camera: str | None = None) -> str:
        with pytest.raises(UnreadableRecordingError) as caught:
            open_source(root, ReadOptions(camera=camera)).read(0)
        return str(caught.value)

    assert 'there are left, wrist' in said('ext9')
    assert 'no video at' in said('wrist')
    (trajectory,) = root.rglob('trajectory.h5')
    with h5py.File(trajectory, 'a') as file:
        del file['observation/timestamp/control/step_start']
        file['observation/timestamp/control/step_start'] = np.arange(3) + 1
    assert '76 states but 3 time stamps' in said()
    with h5py.File(trajectory, 'a') as file:
        del file['observation/robot_state']
    assert 'no observation/robot_state/cartesian_position' in said()
    (metadata,) = root.rglob('metadata_*.json')
    metadata.unlink()
    assert 'no metadata_*.json' in said()
