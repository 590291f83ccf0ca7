# SPDX-License-Identifier: Apache-2.0
"""Where things are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path

from vjepa_planner.errors import VjepaPlannerError


def cache_folder() -> Path:
    """Return ``vjepa_ros`` in ``$XDG_CACHE_HOME``, by default in ``~/.cache``. It may not exist.

    Raises:
        VjepaPlannerError: The user has no home directory, as in some containers.
    """
    base = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if not base.is_absolute():  # XDG Base Directory specification: relative ones are invalid
        try:
            base = Path.home() / '.cache'
        except RuntimeError as error:
            raise VjepaPlannerError(
                'this user has no home directory to keep files in. Set HOME or XDG_CACHE_HOME.'
            ) from error
    return base / 'vjepa_ros'
