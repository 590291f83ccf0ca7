# SPDX-License-Identifier: Apache-2.0
"""From stamps to steps."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.data.synchronise import (
    align,
    choose_steps,
    in_order,
    interpolate,
    Measurements,
    SECOND,
)
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import euler_to_quaternion_xyzw


def stamps(*times: float) -> np.ndarray:
    return np.round(np.array(times) * SECOND).astype(np.int64) + SECOND


def test_a_camera_that_is_a_little_slow_does_not_lose_its_grid() -> None:
    slow = stamps(*(0.204 * i for i in range(100)))
    (run,) = choose_steps(slow, 0.2)
    assert run.tolist() == list(range(100))


def test_of_a_fast_camera_the_images_a_step_apart_are_taken() -> None:
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 300)
    times = np.sort(np.arange(300) / 30 + jitter)
    (run,) = choose_steps(stamps(*times), 1.0)
    np.testing.assert_allclose(np.diff(times[run]), 1.0, atol=0.04)
    assert len(run) in (10, 11)


def test_a_gap_ends_a_run_and_begins_another() -> None:
    runs = choose_steps(stamps(0, 1, 2, 7.4, 8.4, 9.4), 1.0)
    assert [run.tolist() for run in runs] == [[0, 1, 2], [3, 4, 5]]


def test_images_slower_than_steps_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r'every 1 s, steps are to last 0\.2 s'):
        choose_steps(stamps(0, 1, 2, 3), 0.2)


def test_values_are_interpolated_and_known_only_near_measurements() -> None:
    measured = Measurements(stamps(0, 0.1, 0.2, 1.0), np.array([[0.0], [1.0], [3.0], [3.0]]))
    asked = stamps(-0.2, 0.0, 0.05, 0.175, 0.5, 1.0, 1.05, 1.2)
    values, known = interpolate(measured, asked, 0.1)
    np.testing.assert_allclose(values[[1, 2, 3, 5, 6], 0], [0.0, 0.5, 2.5, 3.0, 3.0])
    assert known.tolist() == [False, True, True, True, False, True, True, False]


def test_an_arm_that_is_not_measured_for_a_while_cuts_the_run() -> None:
    images = stamps(*range(6))
    times = [t for t in np.arange(0, 5.01, 0.05) if not 1.5 < t < 3.5]
    pose = np.tile([0.1, 0.2, 0.3, 0, 0, 0, 1.0], (len(times), 1))
    poses = Measurements(stamps(*times), pose)
    grip = Measurements(stamps(*np.arange(0, 5.01, 0.05)), np.full((101, 1), 0.25))
    runs = align(images, poses, grip, 1.0)
    assert [run.images.tolist() for run in runs] == [[0, 1], [4, 5]]
    np.testing.assert_allclose(runs[0].states, [[0.1, 0.2, 0.3, 0, 0, 0, 0.25]] * 2)


def test_a_quaternion_may_change_its_sign_between_two_poses() -> None:
    quaternions = euler_to_quaternion_xyzw(np.array([[3.0, 0.1, 0.0], [3.1, 0.1, 0.0]]))
    quaternions[1] *= -1
    poses = Measurements(stamps(0, 0.1), np.hstack([np.zeros((2, 3)), quaternions]))
    grip = Measurements(stamps(0, 0.1), np.zeros((2, 1)))
    (run,) = align(stamps(0.05), poses, grip, 1.0)
    np.testing.assert_allclose(run.states[0, 3:6], [3.05, 0.1, 0.0], atol=1e-4)


def test_clocks_that_go_back_and_messages_without_stamps_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r'pose go back by 0\.500 s after message 1'):
        in_order('pose', [*stamps(0, 1, 0.5, 2)])
    with pytest.raises(InvalidInputError, match='without a stamp'):
        in_order('pose', [0, 1])
    with pytest.raises(InvalidInputError, match='no messages of pose'):
        in_order('pose', [])
