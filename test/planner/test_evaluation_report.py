# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.evaluation.report import EpisodeResult, EvaluationReport, wilson_interval


@pytest.mark.parametrize(
    ('successes', 'trials', 'low', 'high'),
    [  # R: prop.test(k, n, correct = FALSE)$conf.int
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (45, 50, 0.7864, 0.9565),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I
        (1, 29, 0.0061, 0.1718),  # the same
    ],
)
def test_the_interval_is_wilsons(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


def episode(seed: int, final: float, seconds: tuple[float, ...]) -> EpisodeResult:
    return EpisodeResult(
        seed=seed,
        success=final < 0.04,
        distances=(0.3, 0.1, final),
        energies=(0.5, 0.4),
        seconds=seconds,
        sub_goals=(0, 0),
    )


def make_report() -> EvaluationReport:
    results = [episode(1, 0.01, (0.1, 0.2)), episode(2, 0.03, (0.3, 0.4)), episode(3, 0.2, (9.0,))]
    return EvaluationReport(task='reach', model='franka-sim', planner='cem', results=results)


def test_a_report_counts_successes_and_takes_medians() -> None:
    report = make_report()
    assert report.success_rate == pytest.approx(2 / 3)
    assert report.ci95 == wilson_interval(2, 3)
    assert report.seconds_per_action == pytest.approx(0.3)  # one slow plan does not count


def test_a_report_survives_json() -> None:
    content = json.loads(json.dumps(make_report().to_json()))
    assert content['episodes'] == 3
    assert content['success_rate'] == pytest.approx(2 / 3)
    assert content['ci95'] == pytest.approx(list(wilson_interval(2, 3)))
    assert content['seconds_per_action'] == pytest.approx(0.3)
    assert content['final_distance_median'] == pytest.approx(0.03)
    assert content['results'][2]['distances'] == [0.3, 0.1, 0.2]
    assert content['results'][2]['success'] is False


def test_a_report_prints_as_a_table_whose_columns_line_up() -> None:
    heading, row = str(make_report()).splitlines()
    assert len(heading) == len(row)
    for part in ('reach', 'franka-sim', 'cem', '67%', '3.0 cm'):
        assert part in row


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError, match='at least one episode'):
        EvaluationReport(task='reach', model='m', planner='p', results=[])
