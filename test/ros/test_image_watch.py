# SPDX-License-Identifier: Apache-2.0
"""Pictures that show nothing or never change are refused, at little cost."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_ros.image_watch import ImageWatch

SCENE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def test_an_image_of_a_scene_is_good_and_one_grey_is_not() -> None:
    watch = ImageWatch()
    watch.check(SCENE, 0.0, 0.0, 2.0)
    with pytest.raises(InvalidInputError, match=r'differ by 0\.0'):
        watch.check(np.full_like(SCENE, 90), 0.1, 0.0, 2.0)


def test_the_contrast_is_that_of_all_pixels_to_a_few_per_cent() -> None:
    rows = np.linspace(100.0, 110.0, 480)[:, None, None]  # a standard deviation of 2.9
    image = np.broadcast_to(rows, (480, 640, 3)).astype(np.uint8)
    ImageWatch().check(image, 0.0, 0.0, 2.7)
    with pytest.raises(InvalidInputError, match='shows nothing'):
        ImageWatch().check(image, 0.0, 0.0, 3.1)


def test_a_frozen_image_is_refused_after_its_time_and_no_sooner() -> None:
    watch = ImageWatch()
    watch.check(SCENE, 0.0, 0.0, 0.0)  # nobody asked yet: time does not count from here
    for now in (5.0, 5.5, 6.0):
        watch.check(SCENE, now, 1.0, 0.0)
    with pytest.raises(InvalidInputError, match=r'the same for 1\.1 s'):
        watch.check(SCENE, 6.1, 1.0, 0.0)
    watch.check(SCENE[::-1], 6.2, 1.0, 0.0)


def test_a_look_at_a_camera_image_takes_little_of_its_period() -> None:
    watch = ImageWatch()
    times = []
    for _ in range(10):
        begin = time.thread_time()  # what others do on this machine does not count
        watch.check(SCENE, 0.0, 0.0, 2.0)
        times.append(time.thread_time() - begin)
    assert min(times) < 0.003
