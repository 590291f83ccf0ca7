# SPDX-License-Identifier: Apache-2.0
"""The chaos, as short as it makes sense; ``make chaos`` and ``make soak`` are long."""

from __future__ import annotations

import os
from pathlib import Path
import sys

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vjepa_msgs', reason='make builds it')
pytest.importorskip('mujoco')
pytest.importorskip('torch')

sys.path.insert(0, str(Path(__file__).parent))

import chaos
from resources import resources, slope

pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo afterwards what a private graph sets in the environment of this process."""
    for name in ('ROS_DOMAIN_ID', 'ROS_LOG_DIR', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.setenv(name, os.environ.get(name, '0'))


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['blocking', 'streaming'])
def test_twenty_seconds_of_random_faults_violate_nothing(tmp_path: Path, mode: str) -> None:
    result = chaos.run(minutes=1.0 / 3.0, seed=0, mode=mode, model='', folder=tmp_path)
    assert result['violations'] == []
    assert sum(count for count, _ in result['faults'].values()) >= 2
    assert result['targets'] > 50


def test_what_a_process_holds_is_what_the_system_says_of_it(tmp_path: Path) -> None:
    before = resources(os.getpid())
    with (tmp_path / 'file').open('w'):
        assert resources(os.getpid()).files == before.files + 1
    assert resources(os.getpid()).files == before.files
    assert 10.0 < before.memory < 100_000.0
    assert before.threads >= 1


def test_the_slope_is_per_hour() -> None:
    assert slope([0.0, 1800.0, 3600.0], [5.0, 6.0, 7.0]) == pytest.approx(2.0)
    assert slope([10.0], [5.0]) == 0.0
