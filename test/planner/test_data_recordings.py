# SPDX-License-Identifier: Apache-2.0
"""Recorded trajectories."""

from __future__ import annotations

from pathlib import Path

from made_recordings import write_episodes
import numpy as np
import pytest

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.data.recordings import load_recording, Recording
from vjepa_planner.errors import InvalidInputError

OFFICIAL = Path(__file__).resolve().parents[1] / 'fixtures/recordings/franka_example_traj.npz'


def test_the_official_recording_is_read() -> None:
    recording = load_recording(OFFICIAL)
    assert len(recording) == 2
    assert recording.images.shape == (2, 256, 256, 3)
    observation = recording.observation(0)
    np.testing.assert_allclose(observation.state[:3], [0.580439, -0.002021, 0.247557], atol=1e-6)
    np.testing.assert_array_equal(observation.image, recording.images[0])
    np.testing.assert_array_equal(recording.goal(1).image, recording.images[1])
    np.testing.assert_allclose(
        recording.action(0, 1), [0.092369, 0.030987, 0.084280, -0.0172, -0.0100, 0, 0], atol=5e-5
    )
    np.testing.assert_allclose(recording.action(1, 0)[:3], -recording.action(0, 1)[:3])


def test_episodes_of_the_simulator_are_recordings(tiny_episodes: Episodes, tmp_path: Path) -> None:
    saved_episodes = write_episodes(tmp_path / 'data', tiny_episodes)
    recording = load_recording(saved_episodes, episode=3)
    np.testing.assert_array_equal(recording.images, tiny_episodes.images[3])
    np.testing.assert_array_equal(recording.states, tiny_episodes.states[3])
    with pytest.raises(InvalidInputError, match='has the episodes 0 to 9; there is no episode 10'):
        load_recording(saved_episodes, episode=10)


def test_a_single_trajectory_needs_no_axis_for_episodes(tmp_path: Path) -> None:
    images = np.zeros((3, 16, 20, 3), np.uint8)
    np.savez(tmp_path / 'one.npz', observations=images, states=np.zeros((3, 7)))
    assert load_recording(tmp_path / 'one.npz').images.shape == images.shape


def test_steps_and_episodes_that_are_not_there_are_refused() -> None:
    recording = load_recording(OFFICIAL)
    for step in (-1, 2):
        with pytest.raises(InvalidInputError, match='has the steps 0 to 1'):
            recording.goal(step)
        with pytest.raises(InvalidInputError, match=f'there is no step {step}'):
            recording.action(0, step)
    with pytest.raises(InvalidInputError, match='has the episodes 0 to 0'):
        load_recording(OFFICIAL, episode=1)


def test_files_that_are_no_recordings_are_refused_in_words(tmp_path: Path) -> None:
    images, states = np.zeros((1, 2, 16, 16, 3), np.uint8), np.zeros((1, 2, 7))
    path = tmp_path / 'file.npz'

    def said() -> str:
        with pytest.raises(InvalidInputError) as caught:
            load_recording(path)
        return str(caught.value)

    assert 'no recording at' in said()
    path.write_text('not an archive')
    assert 'is not an .npz file' in said()
    np.savez(path, frames=images)
    assert 'must hold observations or images and states; it holds frames' in said()
    np.savez(path, observations=images, states=states[0, 0])
    assert 'got (1, 2, 16, 16, 3) and (7,)' in said()
    np.savez(path, observations=images.astype(np.float32), states=states)
    assert 'uint8 RGB images' in said()
    np.savez(path, observations=images, states=states[..., :6])
    assert 'states of shape (2, 7), got (2, 6)' in said()
    np.savez(path, observations=images, states=np.array([[[None] * 7] * 2], dtype=object))
    assert 'cannot be read as a recording' in said()
    path.write_bytes(OFFICIAL.read_bytes()[:-400] + OFFICIAL.read_bytes()[-200:])
    assert str(path) in said()


def test_a_state_that_is_not_finite_is_refused() -> None:
    recording = Recording(
        images=np.zeros((1, 16, 16, 3), np.uint8), states=np.full((1, 7), np.nan)
    )
    with pytest.raises(InvalidInputError, match='NaN'):
        recording.action(0, 0)
