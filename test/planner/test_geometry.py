# SPDX-License-Identifier: Apache-2.0
"""Rotations, composition of states and its inverse."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError

RNG = np.random.default_rng(0)
EULER = RNG.uniform([-np.pi, -np.pi / 2, -np.pi], [np.pi, np.pi / 2, np.pi], (200, 3))
STATES = np.concatenate([RNG.uniform(-1, 1, (200, 3)), EULER, RNG.random((200, 1))], axis=1)


def _turn(axis, angle):
    """Rotation about one axis, written out independently of the library."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array({
        'x': [[1, 0, 0], [0, c, -s], [0, s, c]],
        'y': [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        'z': [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis])  # fmt: skip


def test_euler_angles_are_extrinsic_x_then_y_then_z():
    rx, ry, rz = 0.3, -0.7, 1.9
    expected = _turn('z', rz) @ _turn('y', ry) @ _turn('x', rx)
    np.testing.assert_allclose(geometry.euler_to_matrix([rx, ry, rz]), expected, atol=1e-15)


def test_euler_angles_survive_matrix_and_quaternion():
    np.testing.assert_allclose(
        geometry.matrix_to_euler(geometry.euler_to_matrix(EULER)), EULER, atol=1e-9
    )
    quaternion = geometry.euler_to_quaternion_xyzw(EULER)
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(geometry.quaternion_xyzw_to_euler(quaternion), EULER, atol=1e-9)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_half_turns_have_a_unit_quaternion_about_their_axis(axis):
    half_turn = np.full((3, 3), 0.0)
    np.fill_diagonal(half_turn, -1.0)
    half_turn[axis, axis] = 1.0
    expected = np.zeros(4)
    expected[axis] = 1.0
    np.testing.assert_allclose(
        np.abs(geometry.matrix_to_quaternion_xyzw(half_turn)), expected, atol=1e-12
    )


def test_quaternion_order_is_x_y_z_w():
    quarter_turn_about_z = [0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]
    np.testing.assert_allclose(
        geometry.quaternion_xyzw_to_euler(quarter_turn_about_z), [0, 0, np.pi / 2], atol=1e-12
    )


@pytest.mark.parametrize('middle', [np.pi / 2, -np.pi / 2])
def test_gimbal_lock_gives_angles_of_the_same_rotation(middle):
    matrix = geometry.euler_to_matrix([0.4, middle, 1.1])
    euler = geometry.matrix_to_euler(matrix)
    assert euler[2] == 0.0
    np.testing.assert_allclose(geometry.euler_to_matrix(euler), matrix, atol=1e-12)


def test_published_composition_is_reproduced():
    state = [0.58043909, -0.0020213424, 0.24755727, -3.0666156, 0.030529797, -1.9127512]
    action = [0.05, -0.02, 0.03, 0.1, -0.2, 0.3, 0.5]
    expected = [
        0.63043909, -0.02202134, 0.27755727, -2.90878701, 0.18962553, -1.58528035, 1.0,
    ]  # fmt: skip
    result = geometry.compose_states([*state, 0.99697137], action)
    np.testing.assert_allclose(result, expected, atol=1e-7)


def test_composition_and_difference_agree_with_the_official_code(official):
    arrays = official.arrays
    np.testing.assert_allclose(
        geometry.compose_states(arrays['pose_start'], arrays['pose_action']),
        arrays['pose_new'],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        geometry.state_difference(arrays['pose_start'][:, 0], arrays['pose_new'][:, 0]),
        arrays['pose_diff'],
        atol=1e-6,
    )


def test_difference_inverts_composition():
    following = np.roll(STATES, 1, axis=0)
    action = geometry.state_difference(STATES, following)
    np.testing.assert_allclose(geometry.compose_states(STATES, action), following, atol=1e-9)


def test_a_rotation_delta_turns_about_the_axes_of_the_base_frame():
    state = np.array([0, 0, 0, 0.5, 0.2, 0.1, 0.0])
    turned = geometry.compose_states(state, [0, 0, 0, 0, 0, 0.4, 0])
    expected = _turn('z', 0.4) @ geometry.euler_to_matrix(state[3:6])
    np.testing.assert_allclose(geometry.euler_to_matrix(turned[3:6]), expected, atol=1e-12)


def test_closedness_stays_between_open_and_closed():
    state = np.zeros((2, 7))
    state[:, 6] = 0.5
    actions = np.zeros((2, 7))
    actions[:, 6] = [0.75, -0.75]
    np.testing.assert_array_equal(geometry.compose_states(state, actions)[:, 6], [1.0, 0.0])


def test_one_state_broadcasts_over_many_actions():
    actions = RNG.normal(size=(4, 3, 7)) * 0.1
    together = geometry.compose_states(STATES[0], actions)
    assert together.shape == (4, 3, 7)
    np.testing.assert_array_equal(
        together[2, 1], geometry.compose_states(STATES[0], actions[2, 1])
    )


@pytest.mark.parametrize(
    ('function', 'argument'),
    [
        (geometry.euler_to_matrix, np.zeros(4)),
        (geometry.quaternion_xyzw_to_matrix, np.zeros(3)),
        (geometry.quaternion_xyzw_to_matrix, np.zeros(4)),
        (geometry.quaternion_xyzw_to_matrix, [0, 0, 0, np.nan]),
        (geometry.matrix_to_euler, np.zeros((3, 4))),
        (geometry.matrix_to_quaternion_xyzw, np.zeros(9)),
    ],
)
def test_wrong_shapes_and_numbers_are_refused(function, argument):
    with pytest.raises(InvalidInputError):
        function(argument)
