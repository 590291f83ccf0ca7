# SPDX-License-Identifier: Apache-2.0
"""Keeps the ROS graph and cache of a test run to itself; its child processes test this tree."""

from __future__ import annotations

from contextlib import ExitStack
import os
from pathlib import Path
import sys
import tempfile

import pytest

ROOT = Path(__file__).resolve().parent.parent
ON_THE_GRAPH = ('ros', 'faults', 'launch')  # folders whose tests wait for other processes
_resources = ExitStack()


def unused_domain_id() -> int:
    """Return a ROS domain that no other test process of this machine uses while this one lives."""
    try:
        from domain_coordinator import domain_id
    except ImportError:  # no ROS 2 here, so nothing will read it
        return os.getpid() % 101
    return _resources.enter_context(domain_id())


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before the first test imports rclpy, and for all child processes."""
    del config
    log_folder = _resources.enter_context(tempfile.TemporaryDirectory(prefix='ros-log-'))
    cache_folder = _resources.enter_context(tempfile.TemporaryDirectory(prefix='vjepa-cache-'))
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(unused_domain_id())
    os.environ['ROS_LOG_DIR'] = log_folder
    os.environ['XDG_CACHE_HOME'] = cache_folder
    os.environ['HF_HUB_OFFLINE'] = '1'  # transformers would ask the hub for what it lacks
    os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(ROOT / 'config' / 'fastdds_shm.xml')
    # ROS 2 from wheels is an ament prefix, but nothing says so.
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    # Like pytest's own `pythonpath` setting, for the processes that tests start.
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    os.environ['PYTHONPATH'] = os.pathsep.join(paths)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests of the graph, whose processes share this machine with others, one more try.

    The summary names those that needed it: on an idle machine that is a bug to look for.
    """
    if not config.pluginmanager.hasplugin('rerunfailures'):
        return
    for item in items:
        if item.path.relative_to(ROOT / 'test').parts[0] in ON_THE_GRAPH:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the domain and the folder back."""
    del config
    _resources.close()
