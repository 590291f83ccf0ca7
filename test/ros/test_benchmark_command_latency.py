# SPDX-License-Identifier: Apache-2.0
"""The benchmark from image to command runs on real nodes; what it measures is not judged here."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vjepa_msgs', reason='make builds it')
pytest.importorskip('torch')

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_latency_of_commands_is_measured_beside_a_relay(tmp_path: Path) -> None:
    file = tmp_path / 'latency.json'
    options = ['--blocks', '2', '--images', '20', '--nodes', 'separate', '--json', str(file)]
    done = subprocess.run(
        [sys.executable, str(ROOT / 'benchmarks' / 'command_latency.py'), *options],
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150.0,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())['results']['separate']
    assert 0 < result['own']['count'] <= result['images'] == 40
    for name in ('own', 'all', 'relay'):
        seconds = result[name]['seconds']
        assert 0 < seconds['p50'] <= seconds['p95'] <= seconds['p99']
        low, high = result[name]['spread']['p50']
        assert low <= seconds['p50'] <= high
    assert result['all']['seconds']['p50'] > result['own']['seconds']['p50']
    assert all(seconds['p50'] >= 0 for seconds in result['stages'].values())
    assert 'relay' in done.stdout
