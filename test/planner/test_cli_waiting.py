# SPDX-License-Identifier: Apache-2.0
"""The line that shows that a long computation is alive."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from vjepa_planner.cli.waiting import waiting


def test_the_elapsed_time_is_shown_on_a_terminal_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    with waiting('encoding'):
        time.sleep(2.3)
    shown = capsys.readouterr().err
    assert 'encoding: 2 s' in shown
    assert shown.endswith(' \r')


def test_what_is_quick_or_seen_by_nobody_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with waiting('encoding'):
        time.sleep(1.2)
    assert capsys.readouterr().err == ''  # it is no terminal here
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    with waiting('encoding'):
        pass
    assert capsys.readouterr().err.strip() == ''


def test_an_error_ends_the_waiting() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), waiting('encoding'):
        raise KeyboardInterrupt
    assert threading.active_count() == before
