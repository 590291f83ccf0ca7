# SPDX-License-Identifier: Apache-2.0
"""States and actions in the frames of the Franka Hand."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots.hand_frames import FrameChange

DOWN = np.array([0.5, 0.1, 0.2, np.pi, 0.0, 0.0, 0.3])


def test_the_flange_is_above_a_tool_that_points_down_and_turned_by_45_degrees() -> None:
    flange = FrameChange('fr3_hand_tcp', 'panda_link8').model_state(DOWN)
    np.testing.assert_allclose(flange[:3], DOWN[:3] + np.array([0.0, 0.0, 0.1034]), atol=1e-9)
    turn = geometry.euler_to_matrix(DOWN[3:6]).T @ geometry.euler_to_matrix(flange[3:6])
    np.testing.assert_allclose(geometry.matrix_to_euler(turn), [0.0, 0.0, np.pi / 4], atol=1e-9)
    assert flange[6] == 0.3


def test_states_and_actions_come_back() -> None:
    rng = np.random.default_rng(0)
    change = FrameChange('fr3_hand_tcp', 'fr3_link8')
    state = np.array([0.5, 0.1, 0.2, 2.5, 0.3, -0.4, 0.5])
    np.testing.assert_allclose(change.measured_state(change.model_state(state)), state, atol=1e-9)
    actions = 0.1 * rng.normal(size=(3, 7))
    moved, imagined = state, change.model_state(state)
    for measured, action in zip(change.measured_actions(state, actions), actions, strict=True):
        moved = geometry.compose_states(moved, measured)
        imagined = geometry.compose_states(imagined, action)
        apart = geometry.state_difference(change.model_state(moved), imagined)
        np.testing.assert_allclose(apart, 0.0, atol=1e-9)
        np.testing.assert_allclose(measured[6], action[6])


@pytest.mark.parametrize('names', [('tool0', 'tool0'), ('fr3_link8', 'panda_link8')])
def test_frames_at_the_same_place_change_nothing(names: tuple[str, str]) -> None:
    change = FrameChange(*names)
    assert change.is_identity
    assert change.model_state(DOWN) is DOWN


def test_an_unknown_frame_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInputError, match="how 'tool0' is fixed to the hand is not known"):
        FrameChange('tool0', 'fr3_link8')
    with pytest.raises(InvalidInputError, match='set the parameter ee_frame'):
        FrameChange('fr3_hand_tcp', 'camera_link')
