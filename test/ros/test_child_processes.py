# SPDX-License-Identifier: Apache-2.0
"""Child processes that are killed on purpose, and those that end by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_graph import wait_until

from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.processes import NodeProcesses


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeProcesses]:
    """Return processes of a module that waits, or ends at once if it is called so."""
    (tmp_path / 'waits.py').write_text('import time\ndef main():\n    time.sleep(60.0)\n')
    (tmp_path / 'ends.py').write_text('def main():\n    print("the end")\n    return 3\n')
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{Path(__file__).parents[2]}')
    with NodeProcesses(tmp_path) as processes:
        yield processes


def test_a_process_that_is_killed_is_gone_and_may_be_started_again(processes) -> None:
    processes.start('one', 'waits', [], threads=1)
    pid = processes.pid('one')
    processes.kill('one')
    assert not Path('/proc', str(pid)).exists()
    processes.check()  # it did not end by itself
    processes.start('one', 'waits', [], threads=1)
    assert processes.pid('one') != pid
    processes.check()


def test_a_process_that_ends_by_itself_is_named_with_its_last_words(processes) -> None:
    processes.start('two', 'ends', [], threads=1)
    wait_until(lambda: processes._processes['two'].poll() is not None, 'its end')
    with pytest.raises(NodesError, match=r'two ended by itself \(exit code 3\)[^$]*the end'):
        processes.check()
