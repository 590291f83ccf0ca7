# SPDX-License-Identifier: Apache-2.0
"""Child processes: started with a log each, watched, and ended in an orderly way."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from types import TracebackType

from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.signals import raise_if_signalled

_LOG_LINES = 12  # shown of a process that ended by itself
_PATIENCE = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))  # [s] each


class NodeProcesses:
    """The processes of the nodes. As a context it ends them all on the way out."""

    def __init__(self, logs: Path) -> None:
        """Begin without processes.

        Args:
            logs: Directory for one log per process, with all that it writes.
        """
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, arguments: Sequence[str], threads: int | None) -> None:
        """Start the executable of a node.

        Args:
            name: Of the process.
            module: Where its ``main`` is.
            arguments: For ROS.
            threads: That numerical libraries may use; None for as many as there are cores.
        """
        environment = os.environ | ({} if threads is None else {'OMP_NUM_THREADS': str(threads)})
        command = [sys.executable, '-m', 'vjepa_ros.child_nodes.child', str(os.getpid()), module]
        with self.log(name).open('wb') as log:
            self._processes[name] = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,  # Ctrl-C reaches this process, and it ends the others in order
            )

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._logs / f'{name}.log'

    def pid(self, name: str) -> int:
        """Return the number of a process that was started."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """End one at once and without a last word, as a crash does; it may be started again."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise if a process has ended by itself, or a signal has asked to end.

        Raises:
            Interrupted: A signal has come.
            NodesError: One has; the message has the end of its log.
        """
        raise_if_signalled()
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                how = f'exit code {code}' if code >= 0 else signal.Signals(-code).name
                lines = self.log(name).read_text(errors='replace').strip().splitlines()
                ending = '\n'.join(
                    f'  | {line}' for line in lines[-_LOG_LINES:] or ['(no output)']
                )
                raise NodesError(
                    f'the process {name} ended by itself ({how}). Its log {self.log(name)} ends '
                    f'with:\n{ending}'
                )

    def stop(self) -> None:
        """End all processes: by SIGINT, and those that do not obey by ever stronger signals."""
        for number, patience in _PATIENCE:
            running = [process for process in self._processes.values() if process.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + patience
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> NodeProcesses:
        """Return itself."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End all processes."""
        self.stop()
