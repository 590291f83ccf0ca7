# SPDX-License-Identifier: Apache-2.0
"""Whether ROS 2 is set up on this machine, before there is a graph."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys

from vjepa_planner.health import Finding, Level
from vjepa_ros.child_nodes.domain import MAX_DOMAIN_ID
from vjepa_ros.child_nodes.environment import find_transport_profile

_ASK = """
from rclpy.utilities import get_rmw_implementation_identifier
print(get_rmw_implementation_identifier())
"""
_PROBE_TIMEOUT = 60.0  # [s]
_SETUP = 'Run `make setup`, or source a ROS 2 Jazzy in which vjepa_msgs was built.'
_PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
_RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')


def check_environment() -> Iterator[Finding]:
    """Yield what is found; what comes after a failure may be missing because of it."""
    if find_spec('rclpy') is None:
        yield Finding(check='rclpy', level=Level.FAIL, found='not installed', advice=_SETUP)
        return
    yield Finding(check='rclpy', level=Level.OK, found=f'version {_rclpy_version()}')
    middleware, complaint = _middleware()
    if complaint:
        yield Finding(
            check='middleware',
            level=Level.FAIL,
            found=complaint.splitlines()[-1],
            advice='Unset RMW_IMPLEMENTATION, or install what it names.',
        )
        return
    yield Finding(check='middleware', level=Level.OK, found=middleware)
    yield _check_messages()
    yield _check_domain()
    yield _check_range()
    yield _check_profile(middleware)


def _rclpy_version() -> str:
    try:
        return version('rclpy')
    except PackageNotFoundError:
        return 'unknown'


def _check_messages() -> Finding:
    try:
        from vjepa_msgs.action import PursueGoal
    except ImportError as error:
        found = f'cannot be imported: {error}'
        return Finding(check='vjepa_msgs', level=Level.FAIL, found=found, advice=_SETUP)
    return Finding(check='vjepa_msgs', level=Level.OK, found=f'with {PursueGoal.__name__}')


def _middleware() -> tuple[str, str]:
    """Return the name of the middleware, or what rclpy says instead of it.

    Asked in another process: rcl ends the one that imports it if RMW_IMPLEMENTATION is wrong.
    """
    answer = subprocess.run(
        [sys.executable, '-c', _ASK], capture_output=True, text=True, timeout=_PROBE_TIMEOUT
    )
    return (answer.stdout.strip(), '') if answer.returncode == 0 else ('', answer.stderr.strip())


def _check_domain() -> Finding:
    text = os.environ.get('ROS_DOMAIN_ID', '0')
    good = text.isdigit() and int(text) <= MAX_DOMAIN_ID
    return Finding(
        check='domain',
        level=Level.OK if good else Level.FAIL,
        found=f'ROS_DOMAIN_ID {text}',
        expected='' if good else f'a number in 0..{MAX_DOMAIN_ID}, the same for all processes',
        advice='' if good else f'export ROS_DOMAIN_ID=<0..{MAX_DOMAIN_ID}>',
    )


def _check_range() -> Finding:
    text = os.environ.get(_RANGE, 'SUBNET')
    if text not in _RANGES:
        return Finding(
            check='discovery',
            level=Level.FAIL,
            found=f'{_RANGE} {text!r}',
            expected=' or '.join(_RANGES),
            advice=f'export {_RANGE}=SUBNET',
        )
    note = 'nodes of this machine only' if text == 'LOCALHOST' else 'nodes of the whole network'
    return Finding(check='discovery', level=Level.OK, found=f'{text}: {note}')


def _check_profile(middleware: str) -> Finding:
    """Look for the profile that gives images enough shared memory; see config/fastdds_shm.xml."""
    if 'fastrtps' not in middleware:
        return Finding(check='shared memory', level=Level.SKIPPED, found='not Fast DDS')
    path = os.environ.get(_PROFILE, '')
    if path and Path(path).is_file() and 'segment_size' in Path(path).read_text(errors='replace'):
        return Finding(check='shared memory', level=Level.OK, found=path)
    found = f'{_PROFILE} is {path!r}' if path else f'{_PROFILE} is not set'
    if path and not Path(path).is_file():
        found += ', which does not exist'
    return Finding(
        check='shared memory',
        level=Level.WARN,
        found=found,
        expected='a profile whose segment_size holds several images; more than half get lost '
        'otherwise',
        advice=f'export {_PROFILE}={find_transport_profile() or "config/fastdds_shm.xml"} for '
        'every process, the camera driver too (our launch files do it for theirs)',
    )
