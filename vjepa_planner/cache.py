# SPDX-License-Identifier: Apache-2.0
"""Where things are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/vjepa_ros``, by default below ``~/.cache``. It may not exist."""
    base = os.environ.get('XDG_CACHE_HOME')
    return (Path(base) if base else Path.home() / '.cache') / 'vjepa_ros'
