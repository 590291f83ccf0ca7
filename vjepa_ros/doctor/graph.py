# SPDX-License-Identifier: Apache-2.0
"""All checks of the graph that runs."""

from __future__ import annotations

from collections.abc import Iterator

from vjepa_planner.health import Finding
from vjepa_ros.doctor.checks import GRAPH_CHECKS
from vjepa_ros.doctor.config import DoctorConfig
from vjepa_ros.doctor.listener import Listener

__all__ = ['DoctorConfig', 'check_graph']


def check_graph(config: DoctorConfig) -> Iterator[Finding]:
    """Listen for a while, and yield what is found about the graph that runs."""
    with Listener(config) as listener:
        listener.listen()
        for check in GRAPH_CHECKS:
            yield from check(listener)
