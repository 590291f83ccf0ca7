# SPDX-License-Identifier: Apache-2.0
"""Readers of recordings by name. A new one is one file and one entry of ``_READERS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from vjepa_planner.data.readers.base import (
    ReadOptions,
    Source,
    SourceConfig,
    UnreadableRecordingError,
)
from vjepa_planner.errors import InvalidInputError, requires_extra, UnknownNameError

__all__ = [
    'ReadOptions',
    'Source',
    'SourceConfig',
    'UnreadableRecordingError',
    'available_readers',
    'open_source',
    'recognise',
    'source_config_class',
]


class _Entry(NamedTuple):
    """Where a reader is, and how its files are told. Imported on use: it needs packages."""

    module: str
    source: str
    config: str
    recognises: Callable[[Path], bool]


def _has(*patterns: str) -> Callable[[Path], bool]:
    return lambda path: any(True for pattern in patterns for _ in path.rglob(pattern))


def _is_bag(path: Path) -> bool:
    return path.suffix in ('.mcap', '.db3') or _has('*.mcap', '*.db3')(path)


_READERS = {
    'lerobot': _Entry(
        'lerobot', 'LeRobotSource', 'LeRobotConfig', lambda p: (p / 'meta/info.json').is_file()
    ),
    'droid': _Entry('droid', 'DroidSource', 'DroidConfig', _has('trajectory.h5')),
    'rosbag': _Entry('rosbag', 'BagSource', 'BagConfig', _is_bag),
    'shards': _Entry('shards', 'ShardSource', 'SourceConfig', _has('shard-*.npz')),
}


def available_readers() -> tuple[str, ...]:
    """Return the names of all readers."""
    return tuple(_READERS)


def recognise(path: Path) -> str:
    """Return the name of the reader for what lies at a path.

    Raises:
        InvalidInputError: Nothing is there, or nothing that is known.
    """
    if not path.exists():
        raise InvalidInputError(f'nothing is at {path}.')
    for name, entry in _READERS.items():
        if entry.recognises(path):
            return name
    raise InvalidInputError(
        f'{path} holds no recordings that are known: a LeRobot dataset (meta/info.json), ROS 2 '
        'bags (*.mcap, *.db3), DROID (trajectory.h5) or shards (shard-*.npz).'
    )


def source_config_class(name: str) -> type[SourceConfig]:
    """Return the dataclass of the settings of the reader ``name``.

    Raises:
        UnknownNameError: There is no such reader.
        MissingDependencyError: What it needs is not installed.
    """
    found: type[SourceConfig] = getattr(_module(name), _READERS[name].config)
    return found


def open_source(
    path: Path, options: ReadOptions | None = None, kind: str | None = None, **settings: object
) -> Source:
    """Return the recordings at a path.

    Args:
        path: File or directory.
        options: What is wanted of them.
        kind: One of :func:`available_readers`; None finds out.
        settings: Fields of the configuration of the reader, see :func:`source_config_class`.

    Raises:
        InvalidInputError: What is there cannot be used, or a setting has a wrong value.
        UnknownNameError: There is no such reader, or it has no such setting.
        MissingDependencyError: What the reader needs is not installed.
    """
    kind = kind or recognise(path)
    config_class = source_config_class(kind)
    known = tuple(item.name for item in fields(config_class))
    for key in settings:
        if key not in known:
            raise UnknownNameError(f'setting of reader {kind!r}:', key, known or ('none',))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    source: Source = getattr(_module(kind), _READERS[kind].source)(
        path, options or ReadOptions(), config_class(**values)
    )
    return source


def _module(name: str) -> object:
    if name not in _READERS:
        raise UnknownNameError('reader', name, available_readers())
    with requires_extra(f'reader {name!r}', 'data'):
        return import_module(f'{__name__}.{_READERS[name].module}')
