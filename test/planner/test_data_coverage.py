# SPDX-License-Identifier: Apache-2.0
"""How much of the world a dataset shows."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.data.coverage import measure_coverage
from vjepa_planner.errors import InvalidInputError


def along_x(*places: float, closedness: list[float] | None = None) -> np.ndarray:
    states = np.zeros((len(places), 7), np.float32)
    states[:, 0] = places
    if closedness is not None:
        states[:, 6] = closedness
    return states


def test_steps_are_measured_within_episodes_only() -> None:
    coverage = measure_coverage([along_x(0.0, 0.1, 0.2), along_x(0.9, 0.8)], 0.5)
    assert (coverage.episodes, coverage.steps, coverage.step_duration) == (2, 3, 0.5)
    assert coverage.step_length['50'] == pytest.approx(0.1, abs=1e-6)
    assert coverage.step_length['100'] == pytest.approx(0.1, abs=1e-6)
    assert coverage.still == 0.0


def test_visited_cubes_are_counted_once() -> None:
    coverage = measure_coverage([along_x(0.01, 0.02, 0.11, 0.02)], 1.0)
    assert (coverage.cells, coverage.cells_in_box) == (2, 3)
    assert (coverage.box_min[0], coverage.box_max[0]) == pytest.approx((0.01, 0.11))


def test_the_gripper_closes_when_it_crosses_the_middle_for_sure() -> None:
    wavering = along_x(*[0.0] * 7, closedness=[0.0, 0.5, 0.0, 0.9, 0.5, 0.9, 0.1])
    resting = along_x(0.0, 0.0, closedness=[1.0, 1.0])
    coverage = measure_coverage([wavering, resting], 1.0)
    assert (coverage.closings, coverage.openings, coverage.episodes_with_gripper) == (1, 1, 1)
    assert coverage.closed == pytest.approx(4 / 9)
    assert coverage.still == pytest.approx(1 / 7)
    assert '1 closings, 1 openings in 1 episodes' in '\n'.join(coverage.table())


def test_episodes_without_steps_cannot_be_measured() -> None:
    with pytest.raises(InvalidInputError, match='two frames'):
        measure_coverage([along_x(0.0)], 1.0)
