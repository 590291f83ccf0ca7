# SPDX-License-Identifier: Apache-2.0
"""Episodes out of a stream of messages."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.data.recorder import EpisodeRecorder
from vjepa_planner.data.synchronise import SECOND
from vjepa_planner.errors import InvalidInputError

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def ns(time: float) -> int:
    return round(time * SECOND) + SECOND


def stream(
    recorder: EpisodeRecorder, image_rate: float, end: float, silent: tuple[float, float] = (0, 0)
) -> list[float]:
    """Feed a moving arm until a time; return the times of the images that were kept."""
    kept = []
    events = [(i / image_rate, 'image') for i in range(int(end * image_rate) + 1)]
    events += [(i / 50, 'state') for i in range(int(end * 50) + 1)]
    for time, kind in sorted(events, key=lambda event: (event[0], event[1] == 'image')):
        if kind == 'state':
            recorder.add_pose(ns(time), np.array([time / 10, 0.0, 0.3]), DOWN)
            recorder.add_closedness(ns(time), 0.5)
        elif not silent[0] < time < silent[1] and recorder.wants_image(ns(time)):
            recorder.add_image(ns(time), np.full((16, 16, 3), int(time * 10) % 256, np.uint8))
            kept.append(time)
    return kept


@pytest.mark.parametrize(('rate', 'step'), [(30, 1.0), (5, 1.0), (5, 0.2), (4.9, 0.2), (30, 0.2)])
def test_images_are_kept_a_step_apart_without_drift(rate: float, step: float) -> None:
    recorder = EpisodeRecorder(step)
    kept = stream(recorder, rate, 20.0)
    gaps = np.diff(kept)
    assert np.abs(gaps - step).max() <= max(0.5 / rate, 0.011)
    assert gaps.mean() == pytest.approx(step, rel=0.03)
    (episode,) = recorder.episodes('reach', {'ee_frame': 'tool'})
    assert len(episode) == len(recorder) == len(kept)
    np.testing.assert_allclose(episode.states[:, 0], np.array(kept) / 10, atol=1e-6)
    assert (episode.task, episode.facts['ee_frame']) == ('reach', 'tool')


def test_a_silent_camera_cuts_the_recording() -> None:
    recorder = EpisodeRecorder(1.0)
    stream(recorder, 10, 10.0, silent=(3.05, 5.55))
    first, second = recorder.episodes('', {})
    assert (len(first), len(second)) == (4, 5)
    assert float(second.facts['start']) - float(first.facts['start']) == pytest.approx(5.6)


def test_nothing_is_made_of_what_does_not_fit_together() -> None:
    recorder = EpisodeRecorder(1.0)
    with pytest.raises(InvalidInputError, match='0 images, 0 poses and 0 finger positions'):
        recorder.episodes('', {})
    stream(recorder, 10, 3.0)
    elsewhere = EpisodeRecorder(1.0)
    elsewhere.add_pose(ns(100), np.zeros(3), DOWN)
    elsewhere.add_closedness(ns(100), 0.0)
    for time in range(4):
        elsewhere.add_image(ns(time), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(InvalidInputError, match='Compare rates and clocks'):
        elsewhere.episodes('', {})


def test_a_clock_that_is_set_back_is_refused() -> None:
    recorder = EpisodeRecorder(1.0)
    stream(recorder, 10, 3.0)
    assert recorder.wants_image(ns(0.5))
    with pytest.raises(InvalidInputError, match=r'go back by 2\.500 s'):
        recorder.add_image(ns(0.5), np.zeros((16, 16, 3), np.uint8))
