# SPDX-License-Identifier: Apache-2.0
"""The judge of the chaos: what it lets pass, and that it sees what is wrong."""

from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from monitor import CommandMonitor, Limits

from vjepa_ros.motion import MotionLimits, Pose
from vjepa_ros.trajectory import Trajectory

LIMITS = Limits(
    workspace_min=(0.3, -0.3, 0.05),
    workspace_max=(0.7, 0.3, 0.5),
    max_speed=0.25,
    max_acceleration=1.0,
    max_rotation_speed=0.6,
    max_tracking_error=0.05,
)
START = np.array([0.4, 0.0, 0.2])
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
PERIOD = 0.02


@pytest.fixture
def monitor() -> CommandMonitor:
    monitor = CommandMonitor(LIMITS)
    for tick in range(10):
        monitor.measure(PERIOD * tick, START, DOWN)
    return monitor


def send(monitor: CommandMonitor, stamps: np.ndarray, positions: np.ndarray) -> None:
    for stamp, position in zip(stamps, positions, strict=True):
        monitor.command(float(stamp), position, DOWN)


def motion(
    end: np.ndarray, speed: float = 0.25, acceleration: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and positions of the motion that the commander makes of a step."""
    limits = MotionLimits(max_speed=speed, max_acceleration=acceleration)
    way = Trajectory(Pose(START, DOWN), Pose(end, DOWN), limits)
    times = np.arange(0.0, way.duration + PERIOD, PERIOD)
    return 1.0 + times, np.array([way.at(time).position for time in times])


def test_a_motion_within_the_limits_and_a_hold_where_the_arm_is_are_good(monitor) -> None:
    stamps, positions = motion(START + np.array([0.06, 0.0, 0.03]))
    send(monitor, stamps, positions)
    monitor.measure(stamps[-1], positions[-1] - 0.004, DOWN)
    monitor.command(stamps[-1] + 0.03, positions[-1] - 0.004, DOWN)
    assert monitor.violations == []
    assert monitor.extremes['speed [m/s]'] > 0.15
    assert 0.9 < monitor.extremes['acceleration [m/s^2]'] <= 1.0
    assert monitor.extremes['hold distance [m]'] == pytest.approx(0.004 * 3**0.5, rel=0.1)


@pytest.mark.parametrize(
    ('length', 'speed', 'acceleration', 'said'),
    [(0.25, 0.3, 1.0, 'speed'), (0.06, 0.25, 1.1, 'acceleration')],
)
def test_a_motion_slightly_beyond_a_limit_is_bad(
    monitor, length, speed, acceleration, said
) -> None:
    send(monitor, *motion(START + np.array([length, 0.0, 0.0]), speed, acceleration))
    assert monitor.count > 0
    assert said in monitor.violations[0]


def test_a_target_that_is_neither_motion_nor_measured_is_bad(monitor) -> None:
    monitor.command(1.0, START + 0.01, DOWN)
    assert 'no motion is under way' in monitor.violations[0]


def test_a_burst_of_old_targets_is_bad(monitor) -> None:
    stamps, positions = motion(START + np.array([0.1, 0.0, 0.0]))
    send(monitor, stamps[0] + 1e-3 * np.arange(len(stamps)), positions)
    assert 'speed' in monitor.violations[0] or 'acceleration' in monitor.violations[0]


def test_a_target_outside_of_the_workspace_is_bad_unless_it_leads_back(monitor) -> None:
    send(monitor, *motion(np.array([0.4, 0.0, 0.03])))
    assert 'outside the workspace' in monitor.violations[0]
    other = CommandMonitor(LIMITS)
    above = np.array([0.4, 0.0, 0.52])
    for tick in range(10):
        other.measure(PERIOD * tick, above, DOWN)
    limits = MotionLimits()
    way = Trajectory(Pose(above, DOWN), Pose(np.array([0.45, 0.0, 0.45]), DOWN), limits)
    stamps = np.arange(0.0, way.duration, PERIOD)
    send(other, 1.0 + stamps, np.array([way.at(time).position for time in stamps]))
    assert other.violations == []


def test_a_late_tick_is_judged_by_its_speed_only(monitor) -> None:
    stamps, positions = motion(START + np.array([0.2, 0.0, 0.0]))
    stamps[len(stamps) // 2 :] += 0.1  # the commander stood still and goes on where it was
    send(monitor, stamps, positions)
    assert (monitor.violations, monitor.late) == ([], 1)


def test_a_turn_that_is_too_fast_and_numbers_that_are_none_are_bad(monitor) -> None:
    monitor.command(1.0, START, DOWN)
    half = 0.5 * 0.03
    monitor.command(1.02, START, np.array([np.cos(half), np.sin(half), 0.0, 0.0]))
    assert 'rotation speed' in monitor.violations[0]
    other = CommandMonitor(LIMITS)
    other.command(1.0, START * np.nan, DOWN)
    assert 'NaN' in other.violations[0]
