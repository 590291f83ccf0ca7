# SPDX-License-Identifier: Apache-2.0
"""What a process of this machine holds: memory, file descriptors, threads."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

_PAGE = os.sysconf('SC_PAGE_SIZE')


class Resources(NamedTuple):
    """Of one process."""

    memory: float  # resident [MB]
    files: int
    threads: int


def resources(pid: int) -> Resources:
    """Return what a process holds now.

    Raises:
        OSError: There is no such process.
    """
    folder = Path('/proc', str(pid))
    pages = int((folder / 'statm').read_text().split()[1])
    return Resources(
        pages * _PAGE / 1e6,
        len(os.listdir(folder / 'fd')),
        len(os.listdir(folder / 'task')),
    )


def shared_memory(pid: int) -> list[Path]:
    """Return the shared-memory files that a process has for Fast DDS, and has to remove itself."""
    links = (Path(os.readlink(link)) for link in Path('/proc', str(pid), 'fd').iterdir())
    locks = [link for link in links if link.name.startswith('fastrtps_')]
    return [path for lock in locks for path in (lock, lock.with_name(lock.name[: -len('_el')]))]


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much values grow per hour, fitted to their times [s]; 0 for a single one."""
    if len(times) < 2:
        return 0.0
    return float(np.polyfit(np.asarray(times) / 3600.0, values, 1)[0])
