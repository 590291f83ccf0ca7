# SPDX-License-Identifier: Apache-2.0
"""Where graphs lie, and whether those that lie there may be executed.

Graphs are ONNX files that hold no weights: they refer to the bytes of a safetensors file. Beside
them, ``graphs.json`` says which graphs there are and what the network looked like::

    {"format": 1,
     "weights": {"encoder.safetensors": "<sha256 of its header>", ...},
     "sizes": {"encoder.safetensors": "<sha256 of what config.json says about it>", ...},
     "graphs": {"encoder-2x256x256-float32.onnx": "<sha256 of the file>", ...}}

The header of a weights file holds the name, shape and place of every tensor. While it stays the
same, and the sizes that no shape tells, such as the number of heads, new values may be written
under it and the graphs still fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import hashlib
import json
import os
from pathlib import Path
import shutil
from typing import Any

from vjepa_planner.backends.graphs import Graph
from vjepa_planner.errors import CheckpointError, VjepaPlannerError
from vjepa_planner.model_directory import (
    CONFIG_FILE,
    ENCODER_FILE,
    PREDICTOR_FILE,
    read_config_file,
)
from vjepa_planner.safetensors_header import read_safetensors_header

MANIFEST_FILE = 'graphs.json'
_FORMAT = 1
_SECTIONS = {ENCODER_FILE: 'encoder', PREDICTOR_FILE: 'ac_predictor'}


def graph_file_name(graph: Graph, precision: str) -> str:
    """Return the name of the file of a graph whose matrices have a precision."""
    return f'{graph.name}-{precision}.onnx'


def find_graph(folder: Path, graph: Graph, precision: str, weights: Path) -> Path | None:
    """Return the file of a graph, or None where it was not exported.

    Args:
        folder: Where it would lie.
        graph: The network and its shape.
        precision: Of the products of matrices.
        weights: The safetensors file that it would be executed with.

    Raises:
        CheckpointError: It is there but must not be executed: it is damaged, or was made for
            other weights.
    """
    path = folder / graph_file_name(graph, precision)
    manifest = read_manifest(folder)
    expected = manifest['graphs'].get(path.name)
    if expected is None:
        return None
    if not path.is_file() or sha256_of_file(path) != expected:
        raise CheckpointError(f'{path} is missing or damaged. {_advice(folder)}')
    if not _fits(manifest, weights):
        raise CheckpointError(
            f'{path} was made for other weights than {weights}, or another config.json. '
            f'{_advice(folder)}'
        )
    return path


def register_graph(path: Path, weights: Path) -> None:
    """Enter a new graph into the manifest of its directory, under :func:`locked`."""
    manifest = read_manifest(path.parent)
    if weights.name in manifest['weights'] and not _fits(manifest, weights):
        # All of them were made for other weights.
        manifest |= {'graphs': {}, 'weights': {}, 'sizes': {}}
    manifest['weights'][weights.name] = safetensors_header_digest(weights)
    manifest['sizes'][weights.name] = sizes_digest(weights)
    manifest['graphs'][path.name] = sha256_of_file(path)
    with atomic_path(path.parent / MANIFEST_FILE) as part:
        part.write_text(json.dumps(manifest, indent=1, sort_keys=True) + '\n', encoding='utf-8')


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the contents of ``graphs.json``, empty where there is none of this format.

    Raises:
        CheckpointError: It cannot be read.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        if manifest['format'] == _FORMAT:
            sizes = dict(manifest.get('sizes', {}))  # absent in those of the first days
            return {'format': _FORMAT, 'sizes': sizes} | {
                key: dict(manifest[key]) for key in ('weights', 'graphs')
            }
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f'{path} cannot be read ({error}). Remove it. {_advice(folder)}'
        ) from error
    return {'format': _FORMAT, 'weights': {}, 'sizes': {}, 'graphs': {}}


def safetensors_header_digest(path: Path) -> str:
    """Return the SHA-256 of names, types, shapes and places of the tensors of a file."""
    header, start = read_safetensors_header(path)
    return hashlib.sha256(json.dumps([start, header], sort_keys=True).encode()).hexdigest()


def sizes_digest(weights: Path) -> str:
    """Return the SHA-256 of what the ``config.json`` beside a weights file says of its network."""
    config = read_config_file(weights.parent / CONFIG_FILE) or {}
    sizes = [config.get(key) for key in (_SECTIONS[weights.name], 'img_size', 'layer_norm_eps')]
    return hashlib.sha256(json.dumps(sizes, sort_keys=True).encode()).hexdigest()


def _fits(manifest: dict[str, Any], weights: Path) -> bool:
    header, sizes = safetensors_header_digest(weights), sizes_digest(weights)
    return bool(
        manifest['weights'].get(weights.name) == header
        and manifest['sizes'].get(weights.name, sizes) == sizes
    )


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write a file or directory to; it appears at ``path`` whole or not at all.

    Where nothing is written to it, ``path`` stays as it is.
    """
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        yield part
        if part.exists():
            part.replace(path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a directory; it is made if need be.

    Raises:
        VjepaPlannerError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VjepaPlannerError(
            f'the directory {folder} cannot be made: {error}. Give another one; for the cache, '
            'set XDG_CACHE_HOME.'
        ) from error
    directory = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _advice(folder: Path) -> str:
    return f'Export it again: vjepa export --backend onnxruntime --model {folder} --out {folder}'
