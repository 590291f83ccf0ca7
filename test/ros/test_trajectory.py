# SPDX-License-Identifier: Apache-2.0
"""The way to a target, and to another one on the way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_ros.motion import MotionLimits, Pose, rotation_quaternion, rotation_vector
from vjepa_ros.trajectory import Trajectory

HOME = np.array([0.45, 0.0, 0.25, np.pi, 0.0, 0.0])
LIMITS = MotionLimits()
DT = 0.002


def pose_of(state: np.ndarray) -> Pose:
    return Pose(state[:3].copy(), geometry.euler_to_quaternion_xyzw(state[3:6]))


def random_pose(rng: np.random.Generator) -> Pose:
    position = rng.uniform(LIMITS.workspace_min, LIMITS.workspace_max)
    turned = np.concatenate([position, HOME[3:] + rng.uniform(-0.4, 0.4, 3)])
    return pose_of(turned)


def test_a_trajectory_begins_at_the_start_and_ends_at_the_target() -> None:
    start, target = pose_of(HOME), pose_of(HOME + np.array([0.1, 0.0, -0.1, 0.1, 0.0, 0.3]))
    trajectory = Trajectory(start, target, LIMITS)
    assert trajectory.at(0.0).distance(start) == 0.0
    assert trajectory.at(trajectory.duration).distance(target) == 0.0
    assert trajectory.at(trajectory.duration / 2).distance(start) == pytest.approx(
        start.distance(target) / 2
    )


@pytest.mark.parametrize('seed', range(10))
def test_a_redirected_trajectory_is_smooth_keeps_the_limits_and_stays_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trajectory = Trajectory(random_pose(rng), random_pose(rng), LIMITS, redirectable=True)
    poses: list[Pose] = []
    time = 0.0
    for _ in range(8):
        end = time + rng.uniform(0.0, 0.7)
        while time < end:
            poses.append(trajectory.at(time))
            time += DT
        trajectory = trajectory.redirected(random_pose(rng), time, LIMITS)
    while time < trajectory.duration + DT:
        poses.append(trajectory.at(time))
        time += DT
    assert poses[-1] is trajectory.target
    positions = np.array([pose.position for pose in poses])
    velocities = np.diff(positions, axis=0) / DT
    accelerations = np.diff(velocities, axis=0) / DT
    assert np.linalg.norm(velocities, axis=1).max() <= LIMITS.max_speed
    assert np.linalg.norm(accelerations, axis=1).max() <= LIMITS.max_acceleration
    turns = np.array([a.turn_to(b) for a, b in pairwise(poses)]) / DT
    assert np.linalg.norm(turns, axis=1).max() <= LIMITS.max_rotation_speed
    turning_up = np.linalg.norm(np.diff(turns, axis=0), axis=1) / DT
    assert turning_up.max() <= LIMITS.max_rotation_acceleration
    assert (positions >= np.array(LIMITS.workspace_min) - 1e-9).all()
    assert (positions <= np.array(LIMITS.workspace_max) + 1e-9).all()


def test_a_new_target_takes_effect_on_the_way() -> None:
    start = pose_of(HOME)
    ahead, aside = HOME.copy(), HOME.copy()
    ahead[0] += 0.1
    aside[1] += 0.1
    first = Trajectory(start, pose_of(ahead), LIMITS, redirectable=True)
    second = first.redirected(pose_of(aside), 0.3 * first.duration, LIMITS)
    assert second.at(0.8 * first.duration).position[1] > HOME[1] + 1e-4
    both = first.duration + Trajectory(pose_of(ahead), pose_of(aside), LIMITS).duration
    assert second.duration < both


def test_new_targets_at_the_rate_of_a_camera_do_not_pile_up() -> None:
    rng = np.random.default_rng(0)
    trajectory = Trajectory(pose_of(HOME), pose_of(HOME), LIMITS, redirectable=True)
    time, positions, left = 0.0, [], []
    for _ in range(150):
        for _ in range(17):  # 34 ms
            positions.append(trajectory.at(time).position)
            time += DT
        near = trajectory.at(time).position + rng.uniform(-0.02, 0.02, 3)
        target = Pose(near, trajectory.target.quaternion)
        trajectory = trajectory.redirected(target, time, LIMITS)
        left.append(trajectory.duration - time)
    assert max(left) < 1.0, 'the arm is not seconds behind the newest plan'
    velocities = np.diff(positions, axis=0) / DT
    accelerations = np.diff(velocities, axis=0) / DT
    assert np.linalg.norm(velocities, axis=1).max() <= LIMITS.max_speed
    assert np.linalg.norm(accelerations, axis=1).max() <= LIMITS.max_acceleration


def test_rotation_vectors_and_quaternions_are_the_same_rotations() -> None:
    rng = np.random.default_rng(0)
    for angle in (0.0, 1e-9, 1e-3, 1.0, 3.0, np.pi - 1e-6):
        axis = rng.normal(size=3)
        vector = angle * axis / np.linalg.norm(axis)
        quaternion = rotation_quaternion(vector)
        np.testing.assert_allclose(np.linalg.norm(quaternion), 1.0)
        np.testing.assert_allclose(rotation_vector(quaternion), vector, atol=1e-9)
        np.testing.assert_allclose(rotation_vector(-quaternion), vector, atol=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_the_velocity_is_the_derivative_of_the_pose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    way = Trajectory(random_pose(rng), random_pose(rng), MotionLimits(), redirectable=True)
    way = way.redirected(random_pose(rng), 0.4 * way.duration, MotionLimits())
    step = 1e-5
    for elapsed in np.linspace(0.0, way.duration, 30):
        before, after = way.at(elapsed - step), way.at(elapsed + step)
        velocity = way.velocity_at(elapsed)
        linear = (after.position - before.position) / (2 * step)
        np.testing.assert_allclose(velocity.linear, linear, atol=1e-4)
        np.testing.assert_allclose(velocity.angular, before.turn_to(after) / (2 * step), atol=1e-4)
    assert not any(way.velocity_at(way.duration).linear)
