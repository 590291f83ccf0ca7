# SPDX-License-Identifier: Apache-2.0
"""The pace of the simulation: on average that of the clock, and no endless catching up."""

from __future__ import annotations

from itertools import pairwise
import time

import pytest
from ros_graph import wait_until

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


def test_a_late_loop_hands_out_one_measurement_of_the_moment_that_it_is_of() -> None:
    """After an image, which takes a while, several steps are due at once."""
    seen: list[ArmMeasurement] = []
    images: list[tuple[float, float, float]] = []  # of what time and moment, and when it came

    def take_image(_image: object, simulated: float, moment: float) -> None:
        images.append((simulated, moment, time.monotonic()))
        time.sleep(0.1)

    simulation = FrankaSimulation(SimulationConfig(image_size=32))
    simulation.reset(0)
    loop = SimulationLoop(simulation, seen.append, take_image, image_rate=2.0)
    wait_until(lambda: len(images) > 4, 'images')
    loop.close()
    steps = [
        (after.moment - before.moment, after.time - before.time)
        for before, after in pairwise(seen)
    ]
    late = [simulated for _, simulated in steps if simulated > 4.5 * CONTROL_PERIOD]
    assert len(late) >= 2, 'at once by what was lost while an image was taken'
    # By moments the arm never moves faster than time passes.
    assert all(simulated <= wall + 1e-6 for wall, simulated in steps)
    by_time = {round(one.time, 6): one.moment for one in seen}
    assert all(by_time[round(simulated, 6)] == moment < came for simulated, moment, came in images)
