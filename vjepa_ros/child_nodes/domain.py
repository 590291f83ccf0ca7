# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that no other command or test run of this machine uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import random
import socket

from vjepa_ros.child_nodes.errors import NodesError

MAX_DOMAIN_ID = 101  # above, the ports of DDS reach into those that Linux hands out

# Whoever has bound this port plus the domain has the domain. It is the convention of ROS 2's own
# test tool domain_coordinator, so that its test runs and our commands keep apart, too.
_FIRST_PORT = 32768
_DOMAINS = range(1, 101)


@contextmanager
def reserved_domain_id() -> Iterator[int]:
    """Reserve a ROS domain while the context lasts.

    Raises:
        NodesError: All of them are in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as claim:
        yield _claim(claim)


def _claim(claim: socket.socket) -> int:
    """Bind the port of a domain that is free and return the domain."""
    for domain_id in random.sample(_DOMAINS, len(_DOMAINS)):
        try:
            claim.bind(('', _FIRST_PORT + domain_id))
        except OSError:
            continue
        return domain_id
    raise NodesError(
        'every ROS domain of this machine is in use. End other commands that run nodes, or choose '
        'a domain where the command has --domain-id.'
    )
