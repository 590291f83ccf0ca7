# SPDX-License-Identifier: Apache-2.0
"""Where models are looked for, and where downloaded ones go."""

from __future__ import annotations

import os
from pathlib import Path
import sys

from vjepa_planner.cache import cache_folder
from vjepa_planner.catalog import CATALOG, CatalogEntry
from vjepa_planner.errors import CheckpointError, UnknownNameError
from vjepa_planner.model_directory import CONFIG_FILE

DEFAULT_MODEL = 'franka-sim'
UNTRAINED = 'untrained'


def download_folder() -> Path:
    """Return the folder for downloaded models: ``$VJEPA_MODELS``, or one in the user's cache."""
    if own := os.environ.get('VJEPA_MODELS'):
        return Path(own).expanduser()
    return cache_folder() / 'models'


def model_folders() -> tuple[Path, ...]:
    """Return the folders that hold model directories, the first one first.

    ``models`` in the working directory, in the source tree, and where pip and colcon install it;
    then :func:`download_folder`.
    """
    here = Path(__file__).resolve()
    share = Path('share', 'vjepa_ros', 'models')
    installed = [parent / share for parent in here.parents]
    folders = [
        Path('models'),
        here.parents[1] / 'models',
        *installed,
        Path(sys.prefix) / share,
        download_folder(),
    ]
    return tuple(folder for folder in dict.fromkeys(folders) if folder.is_dir())


def available_models() -> tuple[str, ...]:
    """Return the names of the models that can be loaded by name."""
    found = {
        entry.parent.name
        for folder in model_folders()
        for entry in folder.glob(f'*/{CONFIG_FILE}')
    }
    return (*sorted(found), UNTRAINED)


def find_model(path_or_name: str | Path) -> Path:
    """Return the path of a model given by its path or by its bare name.

    Returns:
        A model directory, or the checkpoint in the directory of a downloaded official model.

    Raises:
        CheckpointError: It is a path and nothing is there, or it is not downloaded yet.
        UnknownNameError: It is a bare name that nobody knows.
    """
    path = Path(path_or_name).expanduser()
    if path.exists():
        return path
    name = str(path_or_name)
    directory = find_model_directory(name)
    entry = CATALOG.get(name)
    if directory is not None:
        return directory if entry is None or entry.is_directory else _checkpoint(directory, entry)
    if entry is not None:
        raise CheckpointError(
            f'model {name!r} is not on this machine. Get it ({entry.size_text}) with: vjepa '
            f'models download {name}'
        )
    if len(path.parts) != 1 or path.suffix[1:].isalpha():  # as .pt, unlike vjepa2.1-vitb
        raise CheckpointError(
            f'no model at {path}. Give the path of a .pt file or of a model directory, or one of '
            f'the names {", ".join(available_models())}.'
        )
    names = available_models()
    raise UnknownNameError('model', name, (*names, *(n for n in CATALOG if n not in names)))


def find_model_directory(name: str) -> Path | None:
    """Return the directory of a model of this bare name, None if there is none."""
    if len(Path(name).parts) != 1:
        return None
    candidates = (folder / name for folder in model_folders())
    return next((path for path in candidates if (path / CONFIG_FILE).is_file()), None)


def _checkpoint(directory: Path, entry: CatalogEntry) -> Path:
    path = directory / entry.checkpoint.name
    if not path.is_file():
        raise CheckpointError(
            f'{directory} has no {path.name}. Get it with: vjepa models download {entry.name} '
            f'--to {directory.parent}'
        )
    return path
