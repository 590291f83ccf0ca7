# SPDX-License-Identifier: Apache-2.0
"""The environment variables that keep a command and its nodes to themselves."""

from __future__ import annotations

import os
from pathlib import Path
import sys

_PROFILE = Path('config', 'fastdds_shm.xml')
_LEADS_ELSEWHERE = (
    'ROS_DISCOVERY_SERVER',
    'ROS_STATIC_PEERS',
    'ROS_LOCALHOST_ONLY',
    'ROS_SUPER_CLIENT',
)


def enter_private_graph(domain_id: int, logs: Path) -> None:
    """Set the environment of this process, and so of its children, to a ROS graph of their own.

    Only processes of this machine take part, whatever the user's shell is set up for: simulated
    commands must never reach a real arm.

    Args:
        domain_id: ROS domain.
        logs: Directory for the log files of ROS.
    """
    for name in _LEADS_ELSEWHERE:
        os.environ.pop(name, None)
    os.environ['ROS_DOMAIN_ID'] = str(domain_id)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_LOG_DIR'] = str(logs / 'ros')
    # ROS 2 from wheels is an ament prefix, but nothing says so.
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    if (profile := find_transport_profile()) is not None:
        os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(profile)


def find_transport_profile() -> Path | None:
    """Return the Fast DDS profile of the source tree or of the installation; None without one."""
    parents = Path(__file__).resolve().parents
    share = Path('share', 'vjepa_ros')
    folders = [parents[2], *(parent / share for parent in parents), Path(sys.prefix) / share]
    return next((folder / _PROFILE for folder in folders if (folder / _PROFILE).is_file()), None)
