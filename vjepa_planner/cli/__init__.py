# SPDX-License-Identifier: Apache-2.0
"""The command ``vjepa``: one module per sub-command."""

from vjepa_planner.cli.main import main

__all__ = ['main']
