# SPDX-License-Identifier: Apache-2.0
"""The graphs of one model: those that lie beside its weights, and those that have to be exported.

What is exported on demand goes into the cache, into a folder named after path, size and time of
change of the checkpoint. A checkpoint of another layout than ours is converted there at first.
"""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import logging
from pathlib import Path
from typing import Any

from vjepa_planner.backends.graph_files import atomic_path, find_graph, locked
from vjepa_planner.backends.graphs import Graph
from vjepa_planner.cache import cache_folder
from vjepa_planner.errors import CheckpointError, InvalidInputError, requires_extra
from vjepa_planner.model_directory import CONFIG_FILE, is_model_directory, read_model_config

_log = logging.getLogger(__name__)


class ModelGraphs:
    """Gives the file of each graph of a model, at one precision.

    Attributes:
        folder: Model directory with the weights.
        config: Contents of its ``config.json``, with the sizes of the networks.
        precision: Of the products of matrices.
    """

    def __init__(self, path: Path, precision: str, folder: Path | None = None) -> None:
        """Find the weights.

        Args:
            path: A model directory, or a checkpoint of another layout.
            precision: Of the products of matrices.
            folder: Where graphs that are missing go, and a converted checkpoint; by default a
                folder of the cache.

        Raises:
            CheckpointError: The model cannot be read.
            MissingDependencyError: It has to be converted, and torch is not installed.
        """
        cache = cache_folder() / 'graphs' / f'{path.resolve().stem}-{_fingerprint(path)}'
        self._exports = folder or cache
        self.folder = path if is_model_directory(path) else self._exports
        if not is_model_directory(self.folder):
            convert(path, self.folder)
        self.config: Mapping[str, Any] = read_model_config(self.folder)
        self.precision = precision

    def weights(self, graph: Graph) -> Path:
        """Return the safetensors file that a graph refers to.

        Raises:
            InvalidInputError: The model has no such network.
        """
        path = self.folder / graph.weights_file
        if not path.is_file():
            raise InvalidInputError(
                f'{self.folder} has no {path.name}: this model encodes images but cannot plan. '
                'It has no action-conditioned predictor; load a V-JEPA 2-AC checkpoint.'
            )
        return path

    def file(self, graph: Graph) -> Path:
        """Return the file of a graph, exported now where it is not there yet.

        Raises:
            CheckpointError: A file is there but must not be executed.
            InvalidInputError: The model has no such network, or it does not accept the shape.
            MissingDependencyError: It has to be exported, and torch is not installed.
        """
        return self._find(graph) or self.export(graph)

    def _find(self, graph: Graph) -> Path | None:
        weights = self.weights(graph)
        if self.folder != self._exports:
            path = find_graph(self.folder, graph, self.precision, weights)
            if path is not None:
                return path
        try:
            return find_graph(self._exports, graph, self.precision, weights)
        except CheckpointError as error:  # our own: made again, where it can be
            _log.warning('%s', error)
            return None

    def export(self, graph: Graph) -> Path:
        """Export a graph, whether it is there or not, and return its file.

        Raises:
            InvalidInputError: The model has no such network, or it does not accept the shape.
            MissingDependencyError: torch is not installed.
        """
        self.weights(graph)
        what = f'{self.folder} has no graph {graph.name} of precision {self.precision}'
        with requires_extra(f'{what}; exporting it', 'export'):
            from vjepa_planner.export.to_onnx import export_graph
            from vjepa_planner.networks import load_networks
        _log.info('exporting %s of %s into %s', graph.name, self.folder, self._exports)
        networks = load_networks(self.folder)
        return export_graph(networks, graph, self.precision, self.folder, self._exports)


def convert(path: Path, folder: Path) -> None:
    """Write a model directory with the networks of a checkpoint, whole or not at all.

    Args:
        path: A checkpoint of any layout.
        folder: The model directory; nothing happens where there is one already.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        MissingDependencyError: torch is not installed.
    """
    with requires_extra(f'{path} is no model directory with safetensors; reading it', 'export'):
        from vjepa_planner.backends.loading import load_model_networks
        from vjepa_planner.networks import save_model_directory
    with locked(folder.parent):
        if is_model_directory(folder):  # another process was faster
            return
        _log.info('converting %s into %s', path, folder)
        networks = load_model_networks(path)
        with atomic_path(folder) as part:
            save_model_directory(part, networks.encoder, networks.predictor, networks.config)


def write_model_directory(path: Path, folder: Path) -> None:
    """Write a model directory as :func:`convert` does, where a user wants it.

    Args:
        path: A checkpoint of any layout.
        folder: The model directory; the same model may be there already, to get more graphs.

    Raises:
        InvalidInputError: Another model is there.
        CheckpointError: The checkpoint, or what is there, cannot be read.
        MissingDependencyError: torch is not installed.
    """
    if not is_model_directory(folder):
        convert(path, folder)
        return
    with requires_extra(f'comparing {folder} with {path}', 'export'):
        from vjepa_planner.backends.loading import load_model_networks
        from vjepa_planner.networks import are_equal
    if not are_equal(load_model_networks(path), load_model_networks(folder)):
        raise InvalidInputError(
            f'{folder} holds another model than {path}: nothing was written. Remove it, or give '
            'another directory.'
        )


def _fingerprint(path: Path) -> str:
    """Return a name for a checkpoint that changes when its files do.

    With ``config.json`` where it is converted; otherwise that one is read each time.
    """
    files = sorted(path.glob('*.safetensors')) if path.is_dir() else [path]
    config = (path if path.is_dir() else path.parent) / CONFIG_FILE
    if config.is_file() and not is_model_directory(path):
        files.append(config)
    status = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((path.resolve(), status)).encode()).hexdigest()[:16]
