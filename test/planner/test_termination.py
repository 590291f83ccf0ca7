# SPDX-License-Identifier: Apache-2.0
"""A pursuit ends: by reaching the goal, by its budget, or by going nowhere."""

from __future__ import annotations

from itertools import cycle

import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.termination import Outcome, Termination, TerminationConfig


def pursue(termination: Termination, energies) -> tuple[Outcome | None, int]:
    """Look and act in turn; return the outcome and the actions until then."""
    for energy in energies:
        outcome = termination.look(energy) or termination.act()
        if outcome is not None:
            return outcome, termination.actions
    return None, termination.actions


def test_reached_takes_several_looks_in_a_row_below_the_threshold() -> None:
    config = TerminationConfig(max_actions=50, energy_threshold=0.3, looks=3)
    termination = Termination(config)
    looks = [0.5, 0.29, 0.29, 0.31, 0.29, 0.28]
    assert [termination.look(energy) for energy in looks] == [None] * 6
    assert termination.look(0.29) is Outcome.REACHED


def test_the_budget_ends_it_when_its_last_action_begins() -> None:
    termination = Termination(TerminationConfig(max_actions=3))
    assert pursue(termination, [0.5, 0.4, 0.3, 0.2]) == (Outcome.BUDGET_USED, 3)


def test_an_energy_that_goes_to_and_fro_stagnates_after_the_patience() -> None:
    config = TerminationConfig(max_actions=100, energy_threshold=0.1, patience=5)
    falling = [0.9, 0.7, 0.5]
    outcome, actions = pursue(Termination(config), [*falling, *([0.52, 0.499] * 20)])
    assert (outcome, actions) == (Outcome.STAGNATED, 2 + 5)


def test_every_progress_begins_the_patience_anew() -> None:
    config = TerminationConfig(max_actions=30, patience=3, min_progress=0.01)
    slow = [0.9 * 0.98 ** (step // 2) for step in range(60)]  # progress in every other action
    assert pursue(Termination(config), slow) == (Outcome.BUDGET_USED, 30)


def test_a_rising_energy_stagnates_whatever_the_looks_between() -> None:
    config = TerminationConfig(max_actions=100, patience=4)
    outcome, actions = pursue(Termination(config), cycle([0.5, 0.6]))
    assert (outcome, actions) == (Outcome.STAGNATED, 4)


def test_below_the_threshold_nothing_stagnates_before_the_looks_are_done() -> None:
    config = TerminationConfig(max_actions=100, energy_threshold=0.3, looks=2, patience=1)
    termination = Termination(config)
    termination.look(0.25)
    termination.act()
    assert termination.look(0.29) is Outcome.REACHED


@pytest.mark.parametrize(
    'wrong',
    [
        {'max_actions': 0},
        {'energy_threshold': -1.0},
        {'energy_threshold': float('nan')},
        {'looks': 0},
        {'patience': 0},
        {'min_progress': 1.0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(InvalidInputError):
        TerminationConfig(**{'max_actions': 5, **wrong})
