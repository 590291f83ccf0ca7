# SPDX-License-Identifier: Apache-2.0
"""Rates and percentiles of the recent past, in bounded memory."""

from __future__ import annotations

import math

import pytest

from vjepa_ros.samples import Arrivals, Samples


def test_percentiles_are_of_the_newest_numbers_only() -> None:
    samples = Samples()
    assert math.isnan(samples.percentile(50))
    for number in range(10_000):
        samples.add(number)
    assert len(samples) == 256
    assert samples.percentile(0) == 10_000 - 256
    assert samples.percentile(50) == pytest.approx(10_000 - 128.5)


def test_a_rate_is_that_of_the_last_seconds_and_falls_when_nothing_comes() -> None:
    arrivals = Arrivals()
    assert arrivals.rate(0.0) == 0.0
    assert arrivals.silence(0.0) == math.inf
    for step in range(1000):
        arrivals.add(step * 0.1)
    assert arrivals.count == 1000
    assert arrivals.rate(99.95) == pytest.approx(10.0)
    assert arrivals.rate(102.9) < 5.0
    assert arrivals.rate(106.0) == 0.0
    assert arrivals.silence(102.9) == pytest.approx(3.0)
