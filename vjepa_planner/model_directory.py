# SPDX-License-Identifier: Apache-2.0
"""The layout of a model directory, which every backend reads and ``vjepa train`` writes.

::

config.json            sizes, image size, end-effector frame, recommended planner, ...
encoder.safetensors
predictor.safetensors  not in a model that only encodes
*.onnx                 graphs of them, where they were exported; the weights stay where they are
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vjepa_planner.errors import CheckpointError

FORMAT = 'vjepa_planner/1'
CONFIG_FILE = 'config.json'
ENCODER_FILE = 'encoder.safetensors'
PREDICTOR_FILE = 'predictor.safetensors'


def is_model_directory(path: Path) -> bool:
    """Return whether ``path`` is a directory with the weights of an encoder in our layout."""
    return (path / ENCODER_FILE).is_file()


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Return the contents of a model directory's ``config.json``.

    Raises:
        CheckpointError: There is none, or it is not a JSON object.
    """
    config = read_config_file(Path(path) / CONFIG_FILE)
    if config is None:
        raise CheckpointError(
            f'{path} is no model directory: it has no {CONFIG_FILE}. Give the path of a .pt '
            'file, or of a directory that `vjepa train` or `vjepa export` wrote.'
        )
    return config


def read_config_file(path: Path) -> dict[str, Any] | None:
    """Return the contents of a ``config.json``, None where there is no such file.

    Raises:
        CheckpointError: It is not a JSON object.
    """
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path} is not valid JSON: {error}.') from error
    if not isinstance(config, dict):
        raise CheckpointError(f'{path} must hold a JSON object, got {type(config).__name__}.')
    return config
