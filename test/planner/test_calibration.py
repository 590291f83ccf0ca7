# SPDX-License-Identifier: Apache-2.0
"""The map from inferred to executed displacements: found where there is one, refused elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from vjepa_planner.calibration import (
    Calibration,
    CalibrationError,
    fit_calibration,
    infer_displacement,
    known_moves,
    read_calibration,
    write_calibration,
)
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Plan


def rotation(angle: float) -> np.ndarray:
    """Return the matrix that turns column vectors."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def moves(count: int = 16, axes: int = 2) -> np.ndarray:
    return np.array(known_moves(count, 0.05, axes))[:, :axes]


@pytest.mark.parametrize('degrees', [-120, -35, 0, 10, 85, 180])
def test_a_known_rotation_and_scale_are_recovered(degrees: float) -> None:
    angle, executed = math.radians(degrees), moves()
    inferred = executed @ np.linalg.inv(1.25 * rotation(angle)).T  # model's axes, too short
    found = fit_calibration(inferred, executed, 'm')
    np.testing.assert_allclose(found.matrix.T, 1.25 * rotation(angle), atol=1e-12)
    assert math.remainder(found.rotation - angle, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
    assert found.scale == pytest.approx(1.25)
    assert found.condition_number == pytest.approx(1.0)
    assert found.residual == pytest.approx(0.0, abs=1e-12)
    assert (found.samples, found.axes, found.model) == (16, 2, 'm')


def test_noise_as_large_as_the_papers_is_averaged_and_reported() -> None:
    executed = moves(200)
    noise = np.random.default_rng(0).normal(0.0, 0.016 / math.sqrt(2), executed.shape)
    inferred = executed @ rotation(math.radians(40))  # turned by -40 degrees
    found = fit_calibration(inferred, executed + noise, 'm')
    assert math.degrees(found.rotation) == pytest.approx(40.0, abs=4.0)
    assert found.residual == pytest.approx(0.016, rel=0.15)
    assert found.condition_number < 1.2


def test_corrected_actions_are_turned_in_x_and_y_alone() -> None:
    executed = moves()
    found = fit_calibration(executed @ rotation(math.pi / 2), executed, 'm')  # by -90 degrees
    action = np.array([[0.04, 0.0, -0.03, 0.1, 0.2, 0.3, 1.0]])
    expected = [[0.0, 0.04, -0.03, 0.1, 0.2, 0.3, 1.0]]
    np.testing.assert_allclose(found.corrected(action), expected, atol=1e-12)
    plan = Plan(
        actions=action, energy=1.0, current_energy=2.0, evaluations=3, duration=4.0, stamp=5.0
    )
    corrected = found.corrected_plan(plan)
    np.testing.assert_allclose(corrected.actions, expected, atol=1e-12)
    assert corrected.energy == plan.energy
    assert plan.actions[0, 0] == 0.04, 'the plan itself stays'


def test_three_axes_are_mapped_where_the_moves_go_along_all_of_them() -> None:
    executed = moves(24, 3)
    matrix = np.diag([1.0, 1.1, 0.9])
    found = fit_calibration(executed @ np.linalg.inv(matrix), executed, 'm', axes=3)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-12)
    flat = np.c_[moves(24), np.zeros(24)]
    with pytest.raises(CalibrationError, match='along 2 of 3 axes'):
        fit_calibration(flat, flat, 'm', axes=3)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (lambda a, b: (a[:7], b[:7]), 'at least 8 moves'),
        (lambda a, b: (a * [1, 1], b * [1, 0.01]), 'along 1 of 2 axes'),
        (lambda a, b: (a * 0.0, b), 'does not see them'),
        (lambda a, b: (a @ np.diag([1.0, 0.2]), b), 'condition number is 5.0'),
        (lambda a, b: (a @ np.diag([1.0, -1.0]), b), 'reflection'),
        (lambda a, b: (np.random.default_rng(0).permutation(a), b), 'do not follow'),
    ],
)
def test_what_determines_no_map_is_refused(change, complaint: str) -> None:
    executed = moves()
    with pytest.raises(CalibrationError, match=complaint):
        fit_calibration(*change(executed, executed), 'm')


def test_numbers_that_are_none_are_refused() -> None:
    executed = moves()
    for inferred in (executed[:, :1], executed * np.nan, executed[0]):
        with pytest.raises(InvalidInputError):
            fit_calibration(inferred, executed, 'm')
    with pytest.raises(InvalidInputError, match='as many'):
        fit_calibration(executed[:10], executed, 'm')
    with pytest.raises(InvalidInputError, match='axes'):
        fit_calibration(executed, executed, 'm', axes=4)


@pytest.mark.parametrize('axes', [2, 3])
def test_known_moves_have_one_length_all_directions_and_come_back(axes: int) -> None:
    steps = np.array(known_moves(15, 0.05, axes, seed=4))
    assert steps.shape == (16, 3)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.05)
    path = np.cumsum(steps, axis=0)
    np.testing.assert_allclose(path[1::2], 0.0, atol=1e-12)
    extents = np.linalg.svd(steps[:, :axes], compute_uv=False)
    assert extents[0] / extents[-1] < 1.6
    assert axes == 3 or not steps[:, 2].any()


def test_a_file_holds_what_was_found(tmp_path: Path) -> None:
    executed = moves()
    found = fit_calibration(executed @ rotation(0.5), executed, 'franka-sim')
    file = tmp_path / 'below' / 'calibration.yaml'
    write_calibration(file, found)
    read = read_calibration(file)
    np.testing.assert_array_equal(read.matrix, found.matrix)
    assert (read.model, read.samples, read.residual) == ('franka-sim', 16, found.residual)


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        ('matrix: [[1, 0], [0, 1]]', 'needs matrix, residual'),
        ('[1, 2]', 'needs matrix'),
        ('matrix: [', 'cannot be read'),
        ('{matrix: [[1, 0]], residual: 0, condition_number: 1, samples: 9, model: m}', 'shape'),
        (
            '{matrix: [[1, 0], [0, 0]], residual: 0, condition_number: 1, samples: 9, model: m}',
            'condition number inf',
        ),
        (
            '{matrix: [[.nan, 0], [0, 1]], residual: 0, condition_number: 1, samples: 9, '
            'model: m}',
            'shape',
        ),
    ],
)
def test_files_that_hold_none_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / 'calibration.yaml'
    with pytest.raises(CalibrationError, match='cannot be read'):
        read_calibration(file)
    file.write_text(content)
    with pytest.raises(CalibrationError, match=complaint):
        read_calibration(file)


def test_the_inferred_displacement_is_the_first_action_of_a_plan_between_two_images() -> None:
    class Controller:
        def plan(self, observation, goal):
            assert observation.embedding[0, 0] == 1.0
            assert goal.embedding[0, 0] == 2.0
            actions = np.array([[0.01, 0.02, 0.03, 0, 0, 0, 0], [9.0] * 7])
            return Plan(
                actions=actions, energy=0, current_energy=0, evaluations=1, duration=0, stamp=0
            )

    before, after = np.full((2, 4, 8), [[[1.0]], [[2.0]]], np.float32)
    found = infer_displacement(Controller(), before, np.zeros(7), after)
    np.testing.assert_array_equal(found, [0.01, 0.02, 0.03])


def test_it_is_a_value() -> None:
    one = Calibration(matrix=np.eye(2), residual=0.0, condition_number=1.0, samples=8, model='m')
    with pytest.raises(AttributeError):
        one.samples = 9
