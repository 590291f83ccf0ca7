# SPDX-License-Identifier: Apache-2.0
"""The pace of the simulation: on average that of the clock, and no endless catching up."""

from __future__ import annotations

from itertools import pairwise
import threading
import time

import pytest

pytest.importorskip('mujoco')
from vjepa_planner.simulation import CONTROL_PERIOD, FrankaSimulation, SimulationConfig
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


def test_a_loop_that_catches_up_hands_out_the_newest_measurement_alone() -> None:
    """After an image, which takes a while, several steps are due at once."""
    seen: list[tuple[float, float]] = []  # steady time and time of the simulation [s]
    images = threading.Semaphore(0)

    def take_image(_image: object, _moment: float) -> None:
        time.sleep(0.15)
        images.release()

    def take_measurement(measurement: ArmMeasurement) -> None:
        seen.append((time.monotonic(), measurement.time))

    simulation = FrankaSimulation(SimulationConfig(image_size=32))
    simulation.reset(0)
    loop = SimulationLoop(simulation, take_measurement, take_image, image_rate=2.0)
    for _ in range(3):
        assert images.acquire(timeout=30.0)
    loop.close()
    late = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(seen)]
    caught_up = [passed for passed in late if passed[1] > 4.5 * CONTROL_PERIOD]
    assert len(caught_up) >= 2, 'at once by what was lost while an image was taken'
    assert all(wall > 0.1 for wall, _ in caught_up)
