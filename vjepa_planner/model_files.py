# SPDX-License-Identifier: Apache-2.0
"""Where models are looked for."""

from __future__ import annotations

from pathlib import Path
import sys

from vjepa_planner.errors import CheckpointError, UnknownNameError

DEFAULT_MODEL = 'franka-sim'
UNTRAINED = 'untrained'

_CONFIG_FILE = 'config.json'


def model_folders() -> tuple[Path, ...]:
    """Return the folders that hold model directories, the first one first.

    ``models`` in the working directory, in the source tree, and where pip and colcon install it.
    """
    here = Path(__file__).resolve()
    share = Path('share', 'vjepa_ros', 'models')
    installed = [parent / share for parent in here.parents]
    folders = [Path('models'), here.parents[1] / 'models', *installed, Path(sys.prefix) / share]
    return tuple(folder for folder in dict.fromkeys(folders) if folder.is_dir())


def available_models() -> tuple[str, ...]:
    """Return the names of the models that can be loaded by name."""
    found = {
        entry.parent.name
        for folder in model_folders()
        for entry in folder.glob(f'*/{_CONFIG_FILE}')
    }
    return (*sorted(found), UNTRAINED)


def find_model(path_or_name: str | Path) -> Path:
    """Return the path of a model given by its path or by its bare name.

    Raises:
        CheckpointError: It is a path and nothing is there.
        UnknownNameError: It is a bare name and no folder has it.
    """
    path = Path(path_or_name).expanduser()
    if path.exists():
        return path
    if len(path.parts) != 1 or path.suffix:
        raise CheckpointError(
            f'no model at {path}. Give the path of a .pt file or of a model directory, or one of '
            f'the names {", ".join(available_models())}.'
        )
    for folder in model_folders():
        if (folder / path / _CONFIG_FILE).is_file():
            return folder / path
    raise UnknownNameError('model', str(path_or_name), available_models())
