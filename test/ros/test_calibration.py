# SPDX-License-Identifier: Apache-2.0
"""vjepa calibrate with the simulated arm: moves it within the gate, measures, refuses, holds."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from vjepa_ros.calibration import Calibrator
from vjepa_ros.child_nodes.nodes import patient_parameters, start_nodes
from vjepa_ros.child_nodes.processes import NodeProcesses

pytest.importorskip('mujoco')

COMMAND_LINE = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


@pytest.fixture(scope='module')
def arm(tiny_model, tmp_path_factory) -> Iterator[list[str]]:
    """Let simulator and nodes run, stopped; return the command that calibrates them."""
    folder = tmp_path_factory.mktemp('logs')
    parameters = patient_parameters(str(tiny_model), 'torch', 'cpu', 'float32')
    parameters['simulator']['image_size'] = 64
    with NodeProcesses(folder) as processes:
        start_nodes(processes, parameters, folder / 'parameters.yaml')
        options = ['--model', str(tiny_model), '--device', 'cpu']
        yield [sys.executable, '-c', COMMAND_LINE, 'calibrate', *options]


def begin(command: list[str], *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def call(service: str, after: int = 0) -> None:
    """Be the operator, and call a service of the commander when it has made that many motions."""
    from std_srvs.srv import Trigger

    with Calibrator('vjepa') as operator:
        client = operator.client(Trigger, service)
        operator.wait_for(operator.is_connected, 'connection', 90.0)
        operator.wait_for(lambda: 'commander' in operator.statuses, 'commander', 30.0)
        goal = operator.statuses['commander'].accepted + after
        operator.wait_for(lambda: operator.statuses['commander'].accepted >= goal, 'motions', 90.0)
        operator.call(client, Trigger.Request(), 30.0)


def run(command: list[str], *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        stdin=subprocess.DEVNULL,
    )


def test_nothing_moves_unless_somebody_confirms(arm) -> None:
    result = run(arm)
    assert result.returncode == 1
    assert 'nobody is there to confirm' in result.stderr


def test_it_waits_for_the_operator_and_measures_what_was_executed(arm, tmp_path: Path) -> None:
    call('stop')
    file = tmp_path / 'pairs.json'
    arguments = ['--yes', '--moves', '8', '--step', '0.03', '--json', str(file)]
    arguments += ['--out', str(tmp_path / 'calibration.yaml')]
    process = begin(arm, *arguments)
    output = [process.stdout.readline()]
    while output[-1] and 'waiting for the operator' not in output[-1]:
        output.append(process.stdout.readline())
    assert output[-1], process.communicate()[1]
    call('start')
    _, errors = process.communicate(timeout=150)
    pairs = json.loads(file.read_text())
    executed = np.array(pairs['executed'])
    assert executed.shape == np.array(pairs['inferred']).shape == (8, 3)
    np.testing.assert_allclose(np.linalg.norm(executed, axis=1), 0.03, atol=0.006)
    np.testing.assert_allclose(executed.sum(axis=0), 0.0, atol=0.006)
    # A model of random weights sees nothing of the moves.
    assert process.returncode == 1
    assert any(word in errors for word in ('do not follow', 'ill-conditioned', 'see them'))
    assert not (tmp_path / 'calibration.yaml').exists()


def test_a_stop_in_the_middle_ends_it(arm, tmp_path: Path) -> None:
    call('start')
    arguments = ['--yes', '--moves', '40', '--out', str(tmp_path / 'calibration.yaml')]
    process = begin(arm, *arguments)
    call('stop', after=2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'the commander was stopped' in errors
    assert 'Traceback' not in errors
