# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the demonstration itself."""

from __future__ import annotations

from vjepa_planner.errors import VjepaPlannerError


class DemoError(VjepaPlannerError):
    """The demonstration cannot go on; the message says why, in words for its user."""
