# SPDX-License-Identifier: Apache-2.0
"""Learning rates over a training."""

from __future__ import annotations

import pytest

from vjepa_planner.training.schedules import SCHEDULES, warmup_constant_decay


def test_v_jepa_2_ac_warms_up_for_4500_of_94500_steps_and_decays_as_long() -> None:
    rates = [4.25e-4 * SCHEDULES['vjepa2-ac'](step, 94_500) for step in range(1, 94_501)]
    assert rates[0] == pytest.approx(7.5e-5 + 3.5e-4 / 4500)
    assert rates[2249] == pytest.approx((7.5e-5 + 4.25e-4) / 2)
    assert set(rates[4499:90_000]) == {4.25e-4}
    assert rates[90_000] < 4.25e-4
    assert rates[92_249] == pytest.approx(4.25e-4 / 2)
    assert rates[-1] == 0


def test_v_jepa_2_warms_up_from_a_fifth_and_ends_at_a_millionth() -> None:
    steps = (1, 12_000, 239_999, 252_000)
    rates = [5.25e-4 * SCHEDULES['vjepa2'](step, 252_000) for step in steps]
    assert rates[0] == pytest.approx(1e-4, rel=1e-3)
    assert rates[1] == rates[2] == pytest.approx(5.25e-4)
    assert rates[3] == pytest.approx(1e-6)


def test_the_cosine_warms_up_for_100_steps_and_falls_to_a_fiftieth() -> None:
    rates = [SCHEDULES['cosine'](step, 1000) for step in range(1, 1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates.index(max(rates)) == 99
    assert rates[99:] == sorted(rates[99:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=1e-4)


@pytest.mark.parametrize('name', SCHEDULES)
@pytest.mark.parametrize('steps', [1, 2, 20, 1000])
def test_rates_are_never_negative_nor_above_the_largest(name: str, steps: int) -> None:
    for step in range(1, steps + 1):
        assert 0 <= SCHEDULES[name](step, steps) <= 1


def test_without_ramps_the_rate_is_constant() -> None:
    level = {'warmup': 0, 'decay': 0, 'start': 0.1, 'final': 0.0}
    assert {warmup_constant_decay(step, 10, **level) for step in range(1, 11)} == {1.0}
