# SPDX-License-Identifier: Apache-2.0
"""When a run is warned about, and when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from vjepa_planner.training.watch import find_alarms, is_new

STEPS = 1000


def evaluations(name: str, values: list[float], **others: float) -> list[dict[str, Any]]:
    """Return a log with an evaluation every 100 steps and a healthy loss between."""
    lines: list[dict[str, Any]] = []
    for index, value in enumerate(values):
        if index:
            lines.append({'step': 100 * index - 50, 'loss': 1.0})
        lines.append({'step': 100 * index, name: value, **others})
    return lines


def kinds(log: list[dict[str, Any]]) -> list[str]:
    return [alarm.kind for alarm in find_alarms(log, STEPS)]


@pytest.mark.parametrize('name', ['token_std', 'temporal_std'])
def test_a_deviation_that_stays_below_30_percent_of_the_first_is_a_collapse(name: str) -> None:
    assert kinds(evaluations(name, [0.2, 0.05, 0.04])) == ['collapse']
    assert kinds(evaluations(name, [0.2, 0.05])) == []  # once is not enough
    assert kinds(evaluations(name, [0.2, 0.05, 0.07])) == []
    assert kinds(evaluations(name, [0.2, 0.05, 0.04, 0.15])) == []
    (alarm,) = find_alarms(evaluations(name, [0.2, 0.05, 0.04]), STEPS)
    assert alarm.fatal
    assert 'is 0.04, below 30% of the 0.2 at the start' in alarm.text


def test_a_probe_that_stays_no_better_than_the_mean_is_a_collapse() -> None:
    blind = {'probe_position_mean': 0.2, 'probe_trusted': 1.0}
    assert kinds(evaluations('probe_position', [0.1, 0.2, 0.21], **blind)) == ['collapse']
    assert kinds(evaluations('probe_position', [0.2, 0.2, 0.15], **blind)) == []
    few = {'probe_position_mean': 0.2, 'probe_trusted': 0.0}
    assert kinds(evaluations('probe_position', [0.1, 0.2, 0.21], **few)) == []


def losses(means: list[float]) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = [{'step': 0, 'token_std': 0.2}]
    for index, mean in enumerate(means):
        log += [{'step': 100 * index + s, 'loss': mean + d} for s, d in ((10, 0.1), (50, -0.1))]
        log.append({'step': 100 * (index + 1), 'token_std': 0.2})
    return log


def test_a_loss_that_stays_half_above_its_start_is_a_divergence() -> None:
    assert kinds(losses([1.0, 1.6, 1.7])) == ['divergence']
    assert kinds(losses([1.0, 1.6, 1.4])) == []
    # As in many healthy runs: a fast fall, and then a rise while the target gets richer.
    assert kinds(losses([1.0, 0.2, 0.4, 0.6])) == []


def predictor(one_step: float, copy: float, shuffled: float, checks: int = 6) -> Any:
    return evaluations(
        'validation_one_step',
        [one_step] * checks,
        validation_copy=copy,
        validation_shuffled=shuffled,
    )


def test_a_predictor_that_ignores_actions_or_only_copies_is_warned_about_in_the_second_half() -> (
    None
):
    assert kinds(predictor(0.10, 0.15, 0.18)) == []
    assert kinds(predictor(0.10, 0.15, 0.101)) == ['actions']
    assert kinds(predictor(0.16, 0.15, 0.18)) == ['copy']
    assert kinds(predictor(0.16, 0.15, 0.16, checks=4)) == []
    assert not any(alarm.fatal for alarm in find_alarms(predictor(0.16, 0.15, 0.16), STEPS))


def test_a_kind_of_warning_is_new_once() -> None:
    log = evaluations('token_std', [0.2, 0.05, 0.04])
    (alarm,) = find_alarms(log, STEPS)
    assert is_new(alarm, log)
    assert not is_new(alarm, [*log, {'step': 200, 'warning': 'collapse', 'text': alarm.text}])


def test_an_empty_log_gives_no_alarm() -> None:
    assert kinds([]) == []
