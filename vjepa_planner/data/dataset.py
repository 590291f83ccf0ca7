# SPDX-License-Identifier: Apache-2.0
"""What is in a dataset of LeRobot's format, version 3.0 or 2.1, and where each frame of it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vjepa_planner.data.lerobot_format import FACTS_COLUMN, IMAGE_PREFIX, INFO_FILE, SEED_COLUMN
from vjepa_planner.errors import InvalidInputError

VERSIONS = ('v3.0', 'v2.1')

_LEGACY_EPISODES = Path('meta/episodes.jsonl')


@dataclass(frozen=True)
class VideoPart:
    """A video file, and when in it an episode begins [s]."""

    path: Path
    start: float


@dataclass(frozen=True)
class EpisodeEntry:
    """Where an episode is.

    Attributes:
        index: Its number in the dataset.
        length: Number of frames.
        data_file: File that holds its rows.
        first_row: Its first row there.
        videos: Where its images are, by feature, for those that are videos.
        task: What the arm does, in words.
        seed: Seed that it was made from, if it is one of ours and was.
        facts: What else is known about it, if it is one of ours.
    """

    index: int
    length: int
    data_file: Path
    first_row: int
    videos: Mapping[str, VideoPart]
    task: str = ''
    seed: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """The table of contents of a dataset.

    Attributes:
        root: Its directory.
        info: Content of ``meta/info.json``.
        episodes: Those that are whole, in order.
    """

    root: Path
    info: Mapping[str, Any]
    episodes: Sequence[EpisodeEntry]

    @property
    def features(self) -> Mapping[str, Mapping[str, Any]]:
        """Type, shape and names of each feature."""
        features: Mapping[str, Mapping[str, Any]] = self.info['features']
        return features

    @property
    def step_duration(self) -> float:
        """Time between frames [s]."""
        return 1.0 / float(self.info['fps'])

    @property
    def cameras(self) -> tuple[str, ...]:
        """Features that are images, without the part that their names have in common."""
        return tuple(
            name.removeprefix(IMAGE_PREFIX)
            for name, feature in self.features.items()
            if feature['dtype'] in ('image', 'video')
        )


def is_dataset(path: Path) -> bool:
    """Return whether a directory holds a dataset of LeRobot's format."""
    return (path / INFO_FILE).is_file()


def open_dataset(root: Path) -> Dataset:
    """Read the table of contents of a dataset.

    What an interrupted writer left unfinished does not count.

    Raises:
        InvalidInputError: There is none, it is damaged, or of another version.
    """
    if not is_dataset(root):
        raise InvalidInputError(f'no dataset in {root}: there is no {INFO_FILE}.')
    try:
        info = json.loads((root / INFO_FILE).read_text(encoding='utf-8'))
        version = info['codebase_version']
        if version not in VERSIONS:
            raise InvalidInputError(
                f'{root} is a LeRobot dataset of version {version}; {" and ".join(VERSIONS)} are '
                'read. Convert it with the tools of LeRobot.'
            )
        entries = _legacy_entries(root, info) if version == 'v2.1' else _entries(root, info)
        dataset = Dataset(root, info, list(entries))
        _ = dataset.step_duration, dataset.cameras
    except (KeyError, TypeError, ValueError, ZeroDivisionError, pa.ArrowException) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f'the dataset in {root} is damaged: {error!r}.') from error
    return dataset


def episode_rows(root: Path) -> list[dict[str, Any]]:
    """Return the rows of all files of episodes of a version 3.0 dataset, in order."""
    rows = []
    for path in sorted((root / 'meta/episodes').glob('chunk-*/file-*.parquet')):
        rows += pq.read_table(path).to_pylist()
    return sorted(rows, key=lambda row: int(row['episode_index']))


def _entries(root: Path, info: Mapping[str, Any]) -> Iterator[EpisodeEntry]:
    rows = episode_rows(root)
    videos = _video_features(info)
    first_of_file: dict[tuple[int, int], int] = {}
    for row in rows:
        place = row['data/chunk_index'], row['data/file_index']
        first_of_file.setdefault(place, row['dataset_from_index'])
        parts = {
            key: VideoPart(
                root
                / info['video_path'].format(
                    video_key=key,
                    chunk_index=row[f'videos/{key}/chunk_index'],
                    file_index=row[f'videos/{key}/file_index'],
                ),
                float(row[f'videos/{key}/from_timestamp']),
            )
            for key in videos
        }
        yield EpisodeEntry(
            index=row['episode_index'],
            length=row['length'],
            data_file=root / info['data_path'].format(chunk_index=place[0], file_index=place[1]),
            first_row=row['dataset_from_index'] - first_of_file[place],
            videos=parts,
            task=_first_task(row),
            seed=row.get(SEED_COLUMN),
            facts=json.loads(row.get(FACTS_COLUMN) or '{}'),
        )


def _legacy_entries(root: Path, info: Mapping[str, Any]) -> Iterator[EpisodeEntry]:
    """Yield the episodes of version 2.1, where each has files of its own."""
    for line in (root / _LEGACY_EPISODES).read_text(encoding='utf-8').splitlines():
        row = json.loads(line)
        index = row['episode_index']
        numbers = {'episode_chunk': index // info['chunks_size'], 'episode_index': index}
        yield EpisodeEntry(
            index=index,
            length=row['length'],
            data_file=root / info['data_path'].format(**numbers),
            first_row=0,
            videos={
                key: VideoPart(root / info['video_path'].format(video_key=key, **numbers), 0.0)
                for key in _video_features(info)
            },
            task=_first_task(row),
        )


def _video_features(info: Mapping[str, Any]) -> list[str]:
    return [name for name, item in info['features'].items() if item['dtype'] == 'video']


def _first_task(row: Mapping[str, Any]) -> str:
    tasks = row.get('tasks') or ['']
    return str(tasks[0])


class RowReader:
    """Reads rows of episodes, from any thread. Keeps the last part of a file that it has read.

    Files of many episodes may be one block, which is only read as a whole.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = Lock()
        self._path = Path()
        self._columns: tuple[str, ...] = ()
        self._groups: tuple[int, ...] = ()
        self._table: pa.Table | None = None

    def read(self, entry: EpisodeEntry, columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows of an episode.

        Raises:
            InvalidInputError: The file is missing, damaged, or has no such rows or columns.
        """
        try:
            with self._lock, pq.ParquetFile(entry.data_file) as file:
                if missing := set(columns) - set(file.schema_arrow.names):
                    raise InvalidInputError(
                        f'{entry.data_file} has no column {", ".join(sorted(missing))}.'
                    )
                sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                groups, offset = _groups_of(sizes, entry.first_row, entry.length)
                table = self._read_groups(file, entry.data_file, groups, tuple(columns))
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(f'{entry.data_file} cannot be read: {error}.') from error
        rows = table.slice(offset, entry.length)
        if len(rows) != entry.length:
            raise InvalidInputError(
                f'{entry.data_file} ends before the end of episode {entry.index}.'
            )
        return rows

    def _read_groups(
        self, file: pq.ParquetFile, path: Path, groups: tuple[int, ...], columns: tuple[str, ...]
    ) -> pa.Table:
        if self._table is None or (path, groups, columns) != (
            self._path,
            self._groups,
            self._columns,
        ):
            self._table = file.read_row_groups(list(groups), columns=list(columns))
            self._path, self._groups, self._columns = path, groups, columns
        return self._table


def _groups_of(sizes: Sequence[int], first: int, count: int) -> tuple[tuple[int, ...], int]:
    """Return the blocks that hold rows ``first`` and on, and where in them these begin."""
    groups: list[int] = []
    begin = offset = 0
    for number, size in enumerate(sizes):
        if begin < first + count and begin + size > first:
            if not groups:
                offset = first - begin
            groups.append(number)
        begin += size
    return tuple(groups), offset
