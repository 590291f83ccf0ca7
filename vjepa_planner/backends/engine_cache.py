# SPDX-License-Identifier: Apache-2.0
"""Engines that were built for this GPU, kept so that they are built once.

An engine is valid only for the version of TensorRT and the GPU that it was built with, and nothing
in it tells which weights it holds. So every engine lies beside a note of what it was built from
and of its own content, and where anything differs it is built anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import hashlib
import json
import logging
from pathlib import Path

from vjepa_planner.backends.graph_files import atomic_path

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """What an engine depends on.

    Attributes:
        graph: SHA-256 of the graph's file.
        weights: SHA-256 of the weights' file.
        precision: Of the products of matrices.
        batches: Sizes of batch that it accepts.
        tensorrt: Version, to the last digit.
        gpu: Name of the GPU.
        compute_capability: Of the GPU.
        cuda: Version of CUDA.
    """

    graph: str
    weights: str
    precision: str
    batches: tuple[int, ...]
    tensorrt: str
    gpu: str
    compute_capability: str
    cuda: str

    def to_json(self) -> str:
        """Return all of it, in a form that equal keys share."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def name(self) -> str:
        """Name of the engine's file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:32]


class EngineCache:
    """Engines by key, in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which need not exist yet."""
        self._folder = folder

    def load(self, key: EngineKey) -> bytes | None:
        """Return the engine of a key; None where there is none that can be trusted."""
        engine, note = self._paths(key)
        try:
            content = engine.read_bytes()
            written = json.loads(note.read_text(encoding='utf-8'))
            known = {'key': json.loads(key.to_json()), 'sha256': _sha256(content)}
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning('the engine %s cannot be read and is built again: %s', engine, error)
            return None
        if written != known:
            _log.warning(
                'the engine %s is damaged or was built for something else; it is built again.',
                engine,
            )
            return None
        return content

    def store(self, key: EngineKey, content: bytes) -> Path:
        """Keep an engine and return its file."""
        engine, note = self._paths(key)
        self._folder.mkdir(parents=True, exist_ok=True)
        known = {'key': json.loads(key.to_json()), 'sha256': _sha256(content)}
        with atomic_path(engine) as part:
            part.write_bytes(content)
        with atomic_path(note) as part:  # last: an engine without its note is not used
            part.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
        return engine

    def path(self, key: EngineKey) -> Path:
        """Return where the engine of a key lies, or would lie."""
        return self._paths(key)[0]

    def _paths(self, key: EngineKey) -> tuple[Path, Path]:
        return self._folder / f'{key.name}.engine', self._folder / f'{key.name}.json'


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
