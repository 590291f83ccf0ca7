# SPDX-License-Identifier: Apache-2.0
"""What is in a dataset of LeRobot's format, version 3.0 or 2.1, and where each frame of it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
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
