# SPDX-License-Identifier: Apache-2.0
"""Runs the executable of a node as a child that does not outlive its parent.

``python -m vjepa_ros.child_nodes.child PARENT_PID MODULE [ROS arguments]``
"""

from __future__ import annotations

import ctypes
from importlib import import_module
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # Linux: the signal to get when the parent ends, even if it is killed


def main() -> int:
    """Run it and return its exit code."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the line above
        return 1
    return int(import_module(module).main())


if __name__ == '__main__':
    sys.exit(main())
