# SPDX-License-Identifier: Apache-2.0
"""The pace of the simulation: on average that of the clock, and no endless catching up."""

from __future__ import annotations

import pytest

pytest.importorskip('mujoco')
from vjepa_ros.simulation_loop import Pacer


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
