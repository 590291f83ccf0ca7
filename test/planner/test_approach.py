# SPDX-License-Identifier: Apache-2.0
"""Approach from above, on an energy that knows where the hand should be."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.approach import above, aligned, plan_from_above
from vjepa_planner.planners import make_planner, Planner

CLEARANCE, ALIGNMENT = 0.11, 0.012


def make_cem(clearance_height: float) -> Planner:
    return make_planner(
        'cem',
        horizon=1,
        num_samples=200,
        num_iterations=6,
        clearance_height=clearance_height,
        alignment=ALIGNMENT,
        max_gripper_delta=1.0,
        gripper_deadband=0.1,
    )


class Hand:
    """Position and closedness, and how far they are from a goal."""

    def __init__(self, state: tuple[float, ...], goal: tuple[float, ...]) -> None:
        self.state, self.goal = np.array(state), np.array(goal)

    def energies(self, actions: np.ndarray) -> np.ndarray:
        led_to = self.state + actions[..., [0, 1, 2, 6]].sum(axis=1)
        return np.abs(self.goal - led_to) @ [1.0, 1.0, 1.0, 0.1]

    def step(self, planner: Planner, seed: int) -> np.ndarray:
        plan = plan_from_above(planner, self.energies, self.state[2], np.random.default_rng(seed))
        self.state = self.state + plan.actions[0, [0, 1, 2, 6]]
        return plan.actions[0]


def test_without_a_clearance_height_it_is_the_planner_alone() -> None:
    planner, hand = make_cem(0.0), Hand((0.5, 0.0, 0.2, 0.0), (0.6, 0.1, 0.06, 0.2))
    plan = plan_from_above(planner, hand.energies, 0.2, np.random.default_rng(0))
    alone = planner.plan(hand.energies, np.random.default_rng(0))
    np.testing.assert_array_equal(plan.actions, alone.actions)
    assert plan.evaluations == alone.evaluations


def test_the_hand_goes_over_the_place_then_down_and_only_there_the_fingers_move() -> None:
    planner, hand = make_cem(CLEARANCE), Hand((0.5, 0.0, 0.2, 0.0), (0.6, 0.1, 0.06, 0.2))
    for seed in range(8):
        before = hand.state
        action = hand.step(planner, seed)
        off = np.abs(before[:2] - hand.goal[:2]).max()
        if off > 2 * ALIGNMENT:
            assert hand.state[2] > CLEARANCE - 1e-9
            assert action[6] == 0.0
        if hand.state[2] < CLEARANCE - 1e-9:
            assert np.abs(action[:2]).max() <= ALIGNMENT + 1e-9
    np.testing.assert_allclose(hand.state[:3], hand.goal[:3], atol=0.01)
    assert hand.state[3] == pytest.approx(0.2, abs=0.1)


def test_from_a_low_place_the_hand_rises_before_it_moves_far_and_keeps_what_it_holds() -> None:
    planner, hand = make_cem(CLEARANCE), Hand((0.5, 0.0, 0.06, 0.2), (0.6, 0.0, 0.06, 0.0))
    action = hand.step(planner, 0)
    assert hand.state[2] > CLEARANCE - 1e-9
    assert action[6] == 0.0


def test_every_step_of_a_longer_plan_keeps_to_it() -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.075, 0.075, (50, 3, 7))
    heights = 0.15 + np.cumsum(above(actions, 0.15, CLEARANCE, 0.075)[..., 2], axis=1)
    assert (heights > CLEARANCE - 1e-9).all()
    free = aligned(actions, 0.15, CLEARANCE, ALIGNMENT)
    low = 0.15 + np.cumsum(free[..., 2], axis=1) < CLEARANCE
    assert low.any()
    assert (np.abs(free[..., :2])[low] <= ALIGNMENT).all()
    np.testing.assert_array_equal(free[~low], actions[~low])


def test_out_of_a_pit_the_hand_rises_by_no_more_than_a_step_may() -> None:
    actions = np.zeros((1, 2, 7))
    np.testing.assert_allclose(above(actions, 0.0, CLEARANCE, 0.075)[0, :, 2], [0.075, 0.035])
