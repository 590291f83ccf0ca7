# SPDX-License-Identifier: Apache-2.0
"""Approach from above, on an energy that knows where the hand should be."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.approach import (
    above,
    CLOSING,
    GRIP,
    IMPROVEMENT,
    OPENING,
    plan_from_above,
    REVERSAL,
)
from vjepa_planner.planners import make_planner, Planner

CLEARANCE, ALIGNMENT = 0.11, 0.012


def make_cem(clearance_height: float) -> Planner:
    return make_planner(
        'cem',
        horizon=1,
        num_samples=200,
        num_iterations=6,
        momentum_std=0.0,
        clearance_height=clearance_height,
        alignment=ALIGNMENT,
        max_gripper_delta=1.0,
        gripper_deadband=0.1,
    )


class Hand:
    """Position and closedness, how far they are from a goal, and what stops the fingers."""

    def __init__(
        self, state: tuple[float, ...], goal: tuple[float, ...], stop: float = 1.0
    ) -> None:
        self.state, self.goal, self.stop = np.array(state), np.array(goal), stop

    @property
    def full(self) -> np.ndarray:
        return np.array([*self.state[:3], np.pi, 0.0, 0.0, self.state[3]])

    def energies(self, actions: np.ndarray) -> np.ndarray:
        return self.distances(actions) @ [1.0, 1.0, 1.0, 0.1]

    def distances(self, actions: np.ndarray) -> np.ndarray:
        return np.abs(self.goal - self.state - actions[..., [0, 1, 2, 6]].sum(axis=1))

    def step(self, planner: Planner, seed: int, began_closed: bool | None = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        plan = plan_from_above(planner, self.energies, self.full, rng, began_closed)
        if plan.actions[0, 6] <= 0.0:
            assert plan.energy == pytest.approx(self.energies(plan.actions[None])[0])
        self.state = self.state + plan.actions[0, [0, 1, 2, 6]]
        self.state[3] = np.clip(self.state[3], 0.0, self.stop)
        return plan.actions[0]


class SeenFromTheSide(Hand):
    """A hand before a camera that looks down at 45 degrees along y, and hardly sees depth."""

    def energies(self, actions: np.ndarray) -> np.ndarray:
        off = self.goal - self.state - actions[..., [0, 1, 2, 6]].sum(axis=1)
        across, along_the_ray = off[:, 1] + off[:, 2], off[:, 1] - off[:, 2]
        seen = np.stack([off[:, 0], across, 0.2 * along_the_ray, 0.1 * off[:, 3]], axis=1)
        return np.abs(seen).sum(axis=1)


def test_without_a_clearance_height_it_is_the_planner_alone() -> None:
    planner, hand = make_cem(0.0), Hand((0.5, 0.0, 0.2, 0.0), (0.6, 0.1, 0.06, 0.2))
    plan = plan_from_above(planner, hand.energies, hand.full, np.random.default_rng(0))
    alone = planner.plan(hand.energies, np.random.default_rng(0))
    np.testing.assert_array_equal(plan.actions, alone.actions)
    assert plan.evaluations == alone.evaluations


@pytest.mark.parametrize('kind', [Hand, SeenFromTheSide])
def test_the_hand_goes_over_the_place_then_down_and_only_there_the_fingers_move(
    kind: type[Hand],
) -> None:
    hand = kind((0.5, 0.0, 0.2, 0.0), (0.6, 0.1, 0.06, 0.2), stop=0.2)
    planner = make_cem(CLEARANCE)
    for seed in range(8):
        before = hand.state
        action = hand.step(planner, seed)
        off = np.abs(before[:2] - hand.goal[:2]).max()
        if off > 2 * ALIGNMENT:
            assert hand.state[2] > CLEARANCE - 1e-9
            assert action[6] == 0.0
        if hand.state[2] < CLEARANCE - 1e-9:
            assert np.abs(action[:2]).max() <= ALIGNMENT + 1e-9
    np.testing.assert_allclose(hand.state[:3], hand.goal[:3], atol=0.015)
    assert hand.state[3] == pytest.approx(0.2)


def test_fingers_close_on_an_object_by_no_less_than_what_holds_it() -> None:
    hand = Hand((0.6, 0.1, 0.06, 0.0), (0.6, 0.1, 0.06, 0.1), stop=0.1)
    assert hand.step(make_cem(CLEARANCE), 0)[6] == pytest.approx(GRIP)
    assert hand.state[3] == pytest.approx(0.1)
    assert hand.step(make_cem(CLEARANCE), 1)[6] == 0.0


def test_fingers_open_by_what_leads_to_the_goal_unless_they_are_open() -> None:
    planner = make_cem(CLEARANCE)
    assert Hand((0.6, 0.1, 0.06, 0.5), (0.6, 0.1, 0.06, 0.0)).step(planner, 0)[6] < -0.4
    beyond = Hand((0.6, 0.1, 0.06, 0.0), (0.6, 0.1, 0.06, -0.5))  # as a predictor may have it
    assert beyond.step(planner, 0)[6] == 0.0


@pytest.mark.parametrize(('closedness', 'goal'), [(0.5, 0.0), (0.0, 0.5)])
def test_fingers_take_back_what_they_did_for_a_goal_only_if_it_went_wrong(
    closedness: float, goal: float
) -> None:
    planner = make_cem(CLEARANCE)
    state, target = (0.6, 0.1, 0.06, closedness), (0.6, 0.1, 0.06, goal)
    wanted = np.sign(goal - closedness)

    def step(scale: float, began_closed: bool | None) -> float:
        hand = Hand(state, target)
        rng = np.random.default_rng(0)
        gain = 0.1 * abs(goal - closedness)  # of the energy, by the fingers

        def energies(actions: np.ndarray) -> np.ndarray:
            return scale / gain * hand.energies(actions)

        return plan_from_above(planner, energies, hand.full, rng, began_closed).actions[0, 6]

    for as_it_is in (None, closedness > 0.0):
        assert np.sign(step(0.5 * REVERSAL, as_it_is)) == wanted
    assert step(0.5 * REVERSAL, closedness == 0.0) == 0.0
    assert np.sign(step(2.0 * REVERSAL, closedness == 0.0)) == wanted


def test_a_hand_that_holds_something_puts_it_down_a_little_beside_the_place() -> None:
    planner = make_cem(CLEARANCE)
    beside = (0.6, 0.12, 0.06)
    assert Hand((0.6, 0.1, 0.11, 0.3), (*beside, 0.3)).step(planner, 0)[2] < -0.03
    assert Hand((0.6, 0.1, 0.11, 0.0), (*beside, 0.0)).step(planner, 0)[2] > -0.01


def test_over_the_place_the_hand_goes_straight_down_though_at_its_height_it_would_hide_it() -> (
    None
):
    hand = SeenFromTheSide((0.6, 0.1, 0.11, 0.0), (0.6, 0.1, 0.06, 0.0))
    across = np.zeros((2, 1, 7))
    across[1, 0, 1] = -0.05  # towards the camera
    assert np.argmin(hand.energies(across)) == 1
    action = hand.step(make_cem(CLEARANCE), 0)
    assert action[2] < -0.03
    assert np.abs(action[:2]).max() <= ALIGNMENT


def test_from_high_up_the_hand_stops_at_the_clearance_height_and_looks_again() -> None:
    hand = Hand((0.6, 0.1, 0.15, 0.0), (0.6, 0.1, 0.1, 0.5))
    planner = make_cem(CLEARANCE)
    assert hand.step(planner, 0)[6] == 0.0
    assert hand.state[2] == pytest.approx(CLEARANCE)
    assert hand.step(planner, 1)[6] >= GRIP


def test_a_place_farther_down_than_one_action_is_not_where_the_fingers_move_yet() -> None:
    hand = Hand((0.6, 0.1, 0.11, 0.0), (0.6, 0.1, 0.03, 0.5))
    planner = make_cem(CLEARANCE)
    assert hand.step(planner, 0)[6] == 0.0
    assert hand.step(planner, 1)[6] >= GRIP


def test_from_a_low_place_the_hand_rises_before_it_moves_far_and_keeps_what_it_holds() -> None:
    planner, hand = make_cem(CLEARANCE), Hand((0.5, 0.0, 0.06, 0.2), (0.6, 0.0, 0.06, 0.0))
    action = hand.step(planner, 0)
    assert hand.state[2] > CLEARANCE - 1e-9
    assert action[6] == 0.0


@pytest.mark.parametrize(
    ('goal', 'threshold'),
    [
        ((0.6, 0.1, 0.07, 0.5), IMPROVEMENT),
        ((0.6, 0.1, 0.06, 0.6), CLOSING),
        ((0.6, 0.1, 0.06, 0.0), OPENING),
    ],
)
def test_what_promises_hardly_less_than_staying_moves_nothing(
    goal: tuple[float, ...], threshold: float
) -> None:
    hand = Hand((0.6, 0.1, 0.06, 0.5), goal)
    gain = hand.energies(np.zeros((1, 1, 7)))[0]

    def moves(share: float) -> bool:
        def energies(actions: np.ndarray) -> np.ndarray:
            return share * threshold / gain * hand.energies(actions)

        rng = np.random.default_rng(0)
        plan = plan_from_above(make_cem(CLEARANCE), energies, hand.full, rng)
        if not plan.actions.any():
            assert plan.energy == pytest.approx(energies(np.zeros((1, 1, 7)))[0])
        return plan.actions.any()

    assert not moves(0.9)
    assert moves(1.5)


def test_every_step_of_a_longer_plan_keeps_above() -> None:
    actions = np.random.default_rng(0).uniform(-0.075, 0.075, (30, 7))
    ends = 0.15 + np.cumsum(above(actions, 0.15, CLEARANCE, 0.075)[:, 2])
    assert (ends > CLEARANCE - 1e-9).all()


def test_out_of_a_pit_the_hand_rises_by_no_more_than_a_step_may() -> None:
    actions = np.zeros((2, 7))
    np.testing.assert_allclose(above(actions, 0.0, CLEARANCE, 0.075)[:, 2], [0.075, 0.035])
