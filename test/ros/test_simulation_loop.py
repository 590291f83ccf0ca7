# SPDX-License-Identifier: Apache-2.0
"""The pace of the simulation: on average that of the clock, and no endless catching up."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ros_graph import wait_until

pytest.importorskip('mujoco')
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig
from vjepa_ros.simulation_loop import ArmMeasurement, Pacer, SimulationLoop


def test_it_keeps_step_with_the_clock() -> None:
    pacer = Pacer(0.02, 1.0, now=100.0)
    assert len(pacer.due(100.0)) == 1
    assert pacer.wait(100.005) == pytest.approx(0.015)
    assert pacer.due(100.019) == []
    assert len(pacer.due(100.0801)) == 4


def test_half_speed_takes_twice_the_time() -> None:
    pacer = Pacer(0.02, 0.5, now=0.0)
    assert len([time for now in range(1020) for time in pacer.due(now / 1000)]) == 26


def test_periods_are_due_at_their_own_times_even_when_it_is_late() -> None:
    pacer = Pacer(0.02, 1.0, now=0.0)
    assert pacer.due(0.1) == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08, 0.1])


def test_time_lost_by_a_long_pause_is_dropped() -> None:
    pacer = Pacer(0.02, 1.0, now=0.0)
    assert len(pacer.due(60.0)) == 1
    assert pacer.wait(60.0) == pytest.approx(0.02)


def test_measurements_of_a_loop_that_catches_up_are_each_of_their_own_moment() -> None:
    measured: list[tuple[ArmMeasurement, float]] = []
    loop = SimulationLoop(
        FrankaSimulation(SimulationConfig(image_size=64)),
        lambda measurement: measured.append((measurement, time.monotonic())),
        lambda *_: None,
        image_rate=0.0,
    )
    try:
        wait_until(lambda: len(measured) > 5, 'steps')
        loop.inspect(lambda _: time.sleep(0.3))  # something takes its time between two steps
        count = len(measured)
        wait_until(lambda: len(measured) > count + 30, 'steps')
    finally:
        loop.close()
    moments = np.diff([measurement.moment for measurement, _ in measured[count - 3 :]])
    arrivals = np.diff([arrival for _, arrival in measured[count - 3 :]])
    np.testing.assert_allclose(moments, 0.02, atol=1e-6)
    assert arrivals.min() < 0.01, 'they came in a burst'
