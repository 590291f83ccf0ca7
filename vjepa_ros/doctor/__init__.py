# SPDX-License-Identifier: Apache-2.0
"""The part of ``vjepa doctor`` that needs ROS: the environment, and the graph that runs.

It only listens: it publishes nothing but what rclpy does for every node, calls no service but the
reading of parameters and of controllers, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from vjepa_planner.health import Finding
from vjepa_ros.doctor.checks import GRAPH_CHECKS
from vjepa_ros.doctor.config import DoctorConfig
from vjepa_ros.doctor.environment import check_environment
from vjepa_ros.doctor.listener import Listener

__all__ = ['DoctorConfig', 'check_environment', 'check_graph']


def check_graph(config: DoctorConfig) -> Iterator[Finding]:
    """Listen for a while, and yield what is found about the graph that runs."""
    with Listener(config) as listener:
        listener.listen()
        for check in GRAPH_CHECKS:
            yield from check(listener)
