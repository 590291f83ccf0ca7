# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with nodes that a command has started."""

from __future__ import annotations

from vjepa_planner.errors import VjepaPlannerError


class NodesError(VjepaPlannerError):
    """The command cannot go on with its nodes; the message says why, in words for its user."""
