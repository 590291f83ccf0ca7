# SPDX-License-Identifier: Apache-2.0
"""The picture of a run."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

from vjepa_planner.training.curves import draw_curves, update_curves

pytest.importorskip('matplotlib')

LOG = [
    {'step': 0, 'token_std': 0.2, 'temporal_std': 0.1},
    {'step': 50, 'loss': 1.0, 'one_step': 0.5, 'copy': 0.3, 'learning_rate': 1e-3},
    {'step': 100, 'token_std': 0.1, 'temporal_std': 0.1},
]


def red_pixels(path: Path) -> int:
    blue, green, red = cv2.split(cv2.imread(str(path)).astype(int))
    return int(((red - blue > 60) & (red - green > 60) & (abs(blue - green) < 20)).sum())


def test_a_picture_grows_with_what_the_log_knows(tmp_path: Path) -> None:
    path = tmp_path / 'curves.png'
    draw_curves(LOG[:1], path)
    small = cv2.imread(str(path)).shape
    draw_curves(LOG, path)
    assert cv2.imread(str(path)).shape[0] > small[0]
    assert [file.name for file in tmp_path.iterdir()] == ['curves.png']


def test_warnings_are_red_lines(tmp_path: Path) -> None:
    path = tmp_path / 'curves.png'
    draw_curves(LOG, path)
    without = red_pixels(path)
    draw_curves([*LOG, {'step': 60, 'warning': 'collapse', 'text': '...'}], path)
    assert red_pixels(path) > without + 200


def test_an_empty_log_gives_an_empty_picture(tmp_path: Path) -> None:
    draw_curves([], tmp_path / 'curves.png')
    assert cv2.imread(str(tmp_path / 'curves.png')) is not None


def test_a_fresh_picture_is_left_until_it_is_old_or_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / 'curves.png'
    path.write_bytes(b'fresh')
    update_curves(LOG, path, last=False)
    assert path.read_bytes() == b'fresh'
    os.utime(path, (0, 0))
    update_curves(LOG, path, last=False)
    assert path.read_bytes() != b'fresh'
    path.write_bytes(b'fresh')
    update_curves(LOG, path, last=True)
    assert path.read_bytes() != b'fresh'


def test_without_matplotlib_the_end_of_a_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr('vjepa_planner.training.curves.find_spec', lambda name: None)
    update_curves(LOG, tmp_path / 'curves.png', last=False)
    assert not caplog.records
    update_curves(LOG, tmp_path / 'curves.png', last=True)
    assert 'no curves.png: the package matplotlib' in caplog.text
    assert not (tmp_path / 'curves.png').exists()
