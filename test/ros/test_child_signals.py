# SPDX-License-Identifier: Apache-2.0
"""A signal ends a command even where Python drops what its handler raises."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, pathlib, signal, sys
from vjepa_ros.child_nodes.processes import NodeProcesses
from vjepa_ros.child_nodes.signals import Interrupted, raise_on_signals

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        for _ in range(1000):
            pass

raise_on_signals()
thing = Destroyed()
del thing
print('dropped', flush=True)
try:
    NodeProcesses(pathlib.Path('.')).check()
except Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_a_signal_that_comes_while_an_object_is_destroyed_is_not_lost(name: str) -> None:
    program = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(name=name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert program.stdout == 'dropped\n'
    assert 'Exception ignored' in program.stderr
    assert program.returncode == 128 + signal.Signals[name]
