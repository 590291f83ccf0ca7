# SPDX-License-Identifier: Apache-2.0
"""The models that others publish: what they are, where they are, what goes with them.

A new one is one entry in :mod:`~vjepa_planner.catalog.encoders` or
:mod:`~vjepa_planner.catalog.world_models`, and one row in ``models/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from vjepa_planner.catalog.encoders import ENCODERS, ENCODERS_21
from vjepa_planner.catalog.entry import CatalogEntry, format_bytes, RemoteFile
from vjepa_planner.catalog.world_models import WORLD_MODELS
from vjepa_planner.errors import UnknownNameError

CATALOG = {entry.name: entry for entry in (*WORLD_MODELS, *ENCODERS, *ENCODERS_21)}


def find_entry(name: str) -> CatalogEntry:
    """Return the entry of a name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in CATALOG:
        raise UnknownNameError('published model', name, tuple(CATALOG))
    return CATALOG[name]


def entry_for_path(path: Path) -> CatalogEntry | None:
    """Return the entry whose checkpoint a file is, or whose directory it is, by its name.

    Files keep the publisher's name wherever they lie; ``vjepa2-ac-vitg.pt`` is V-JEPA 2-AC.
    """
    if path.is_dir():
        entry = CATALOG.get(path.name)
        return entry if entry is not None and entry.is_directory else None
    files = {e.checkpoint.name: e for e in CATALOG.values() if not e.is_directory}
    return files.get(path.name)


__all__ = [
    'CATALOG',
    'CatalogEntry',
    'RemoteFile',
    'entry_for_path',
    'find_entry',
    'format_bytes',
]
