# SPDX-License-Identifier: Apache-2.0
"""Writes episodes into a dataset of LeRobot's format, so that it is readable at any time.

Episodes are collected and written as one file of frames and one file of their descriptions. Each
appears under its name only when it is whole, and frames count only when their description is
there: whoever is interrupted leaves whole episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vjepa_planner.data import lerobot_format as layout
from vjepa_planner.data.dataset import episode_rows, is_dataset, open_dataset
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.feature_stats import episode_stats, merge_stats, Stats
from vjepa_planner.data.pictures import encode_png
from vjepa_planner.errors import InvalidInputError

_FLUSH_BYTES = 64_000_000  # of packed images: LeRobot's own files have 100 MB


@dataclass(frozen=True)
class _Waiting:
    """An episode that is not on disk yet."""

    rows: pa.Table
    description: dict[str, Any]
    stats: Stats


class DatasetWriter:
    """Appends episodes to a dataset, which it makes if it is not there. One writer at a time.

    Use it in a ``with`` statement: what is left is written at the end, also after an error.
    """

    def __init__(self, root: Path) -> None:
        """Open the dataset in the directory ``root``, or remember to make it.

        Raises:
            InvalidInputError: It holds something else, or a dataset that is not ours.
        """
        self._root = root
        self._info: Mapping[str, Any] | None = None
        self._tasks: list[str] = []
        self._stats: Stats | None = None
        self._episodes = self._frames = self._files = 0
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        if is_dataset(root):
            self._continue()
        elif root.is_dir() and any(root.iterdir()):
            raise InvalidInputError(
                f'{root} holds something else than a dataset. Give another directory.'
            )

    def __len__(self) -> int:
        """Return the number of episodes, with those that are still to be written."""
        return self._episodes + len(self._waiting)

    def __enter__(self) -> DatasetWriter:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is left."""
        self.flush()

    def add(self, *episodes: Episode) -> None:
        """Take episodes, which reach the disk together: now, or at the next :meth:`flush`.

        Raises:
            InvalidInputError: Camera, image size or step duration are not those of the dataset,
                or a state is not finite.
        """
        for episode in episodes:
            self._take(episode)
        if self._waiting_bytes >= _FLUSH_BYTES:
            self.flush()

    def check_layout(
        self, camera: str, height: int, width: int, step_duration: float
    ) -> Mapping[str, Any]:
        """Check that episodes like this fit into the dataset; an empty one takes any.

        Args:
            camera: Name of the camera.
            height: Of its images [px].
            width: Of its images [px].
            step_duration: Time from one frame to the next [s].

        Returns:
            The content of ``info.json``.

        Raises:
            InvalidInputError: They do not fit.
        """
        features = layout.features(camera, height, width)
        wanted = layout.make_info(features, step_duration, 0, 0, 0)
        if self._info is None or not len(self):
            self._info = wanted
        for key in ('features', 'fps'):
            if self._info[key] != wanted[key]:
                raise InvalidInputError(
                    f'the dataset in {self._root} has {_in_words(self._info)}, this episode '
                    f'{_in_words(wanted)}. Write it into another directory.'
                )
        return self._info

    def flush(self) -> None:
        """Write everything that was taken."""
        if not self._waiting:
            return
        if not is_dataset(self._root):
            self._write_summary()
        chunk, file = divmod(self._files, layout.CHUNK_SIZE)
        place = {'chunk_index': chunk, 'file_index': file}
        with _whole(self._root / layout.DATA_PATH.format(**place)) as path:
            _write_groups(path, [item.rows for item in self._waiting])
        with _whole(self._root / layout.TASKS_FILE) as path:
            pq.write_table(layout.tasks_table(self._tasks), path)
        with _whole(self._root / layout.EPISODES_PATH.format(**place)) as path:
            self._write_descriptions(path, chunk, file)
        known = [self._stats] if self._stats else []
        self._stats = merge_stats([*known, *(item.stats for item in self._waiting)])
        self._episodes += len(self._waiting)
        self._files += 1
        self._waiting, self._waiting_bytes = [], 0
        self._write_summary()

    # -- what is there -------------------------------------------------------------------------

    def _continue(self) -> None:
        """Take over the counts of the dataset, and mend what an interrupted writer left."""
        dataset = open_dataset(self._root)
        camera = dataset.cameras[0] if len(dataset.cameras) == 1 else ''
        shape = dataset.features.get(layout.image_key(camera), {}).get('shape', (0, 0, 0))
        if dict(dataset.features) != layout.features(camera, shape[0], shape[1]):
            raise InvalidInputError(
                f'the dataset in {self._root} was not made by vjepa: it has other features. '
                'Convert it into another directory with: vjepa data convert'
            )
        rows = episode_rows(self._root)
        self._info = dataset.info
        self._episodes = len(rows)
        self._frames = rows[-1]['dataset_to_index'] if rows else 0
        last = rows[-1] if rows else {'data/chunk_index': 0, 'data/file_index': -1}
        self._files = last['data/chunk_index'] * layout.CHUNK_SIZE + last['data/file_index'] + 1
        if rows:
            self._tasks = pq.read_table(self._root / layout.TASKS_FILE)['task'].to_pylist()
            self._stats = merge_stats([_stats_of(row) for row in rows])
        self._remove_strays()

    def _remove_strays(self) -> None:
        """Delete frames without a description, which LeRobot would count."""
        for path in (self._root / 'data').glob('chunk-*/file-*'):
            chunk, file = int(path.parent.name[6:]), path.stem.removeprefix('file-')
            if path.suffix != '.parquet' or chunk * layout.CHUNK_SIZE + int(file) >= self._files:
                path.unlink()

    # -- what is written -----------------------------------------------------------------------

    def _take(self, episode: Episode) -> None:
        if not np.isfinite(episode.states).all():
            raise InvalidInputError('an episode has states that are NaN or infinite.')
        height, width = episode.images.shape[1:3]
        info = self.check_layout(episode.camera, height, width, episode.step_duration)
        if episode.task not in self._tasks:
            self._tasks.append(episode.task)
        rows = self._rows(episode)
        numbers = {
            name: rows[name].to_numpy()
            for name, feature in info['features'].items()
            if feature['dtype'] in ('int64', 'float32') and feature['shape'] == [1]
        }
        numbers |= {layout.STATE_KEY: episode.states, layout.ACTION_KEY: episode.actions()}
        stats = episode_stats(episode.images, numbers, layout.image_key(episode.camera))
        description = {
            'episode_index': len(self),
            'tasks': [episode.task],
            'length': len(episode),
            'dataset_from_index': self._frames,
            'dataset_to_index': self._frames + len(episode),
            layout.SEED_COLUMN: episode.seed,
            layout.FACTS_COLUMN: json.dumps(_facts(episode)),
            **layout.flat_stats(stats),
        }
        self._waiting.append(_Waiting(rows, description, stats))
        self._waiting_bytes += rows.nbytes
        self._frames += len(episode)

    def _rows(self, episode: Episode) -> pa.Table:
        count, number = len(episode), np.arange(len(episode))
        columns = {
            layout.image_key(episode.camera): [
                {'bytes': encode_png(image), 'path': None} for image in episode.images
            ],
            layout.STATE_KEY: episode.states.astype(np.float32).tolist(),
            layout.ACTION_KEY: episode.actions().tolist(),
            layout.DONE_KEY: number == count - 1,
            'timestamp': (number * episode.step_duration).astype(np.float32),
            'frame_index': number,
            'episode_index': np.full(count, len(self)),
            'index': self._frames + number,
            'task_index': np.full(count, self._tasks.index(episode.task)),
        }
        return pa.Table.from_pydict(columns, schema=layout.frame_schema(episode.camera))

    def _write_descriptions(self, path: Path, chunk: int, file: int) -> None:
        places = {
            f'{kind}/{name}_index': value
            for kind in ('data', 'meta/episodes')
            for name, value in (('chunk', chunk), ('file', file))
        }
        rows = [item.description | places for item in self._waiting]
        schema = layout.episode_schema(self._waiting[0].stats)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)

    def _write_summary(self) -> None:
        """Write ``info.json``, which makes the directory a dataset, and the statistics."""
        assert self._info is not None
        self._info = {
            **self._info,
            'total_episodes': self._episodes,
            'total_frames': self._frames - sum(len(item.rows) for item in self._waiting),
            'total_tasks': len(self._tasks),
            'splits': {'train': f'0:{self._episodes}'},
        }
        stats = self._stats or {}
        for file, content in ((layout.STATS_FILE, stats), (layout.INFO_FILE, self._info)):
            with _whole(self._root / file) as path:
                path.write_text(json.dumps(content, indent=4), encoding='utf-8')


def _facts(episode: Episode) -> dict[str, str]:
    known = {} if episode.gripper_commands is None else layout.COMMANDED_GRIPPER
    return {**episode.facts, **known}


def _stats_of(row: Mapping[str, Any]) -> Stats:
    """Return the statistics in a row of the table of episodes."""
    stats: Stats = {}
    for name, value in row.items():
        if name.startswith('stats/'):
            feature, _, what = name.removeprefix('stats/').rpartition('/')
            stats.setdefault(feature, {})[what] = value
    return stats


def _in_words(info: Mapping[str, Any]) -> str:
    cameras = [
        f'{name.removeprefix(layout.IMAGE_PREFIX)} with {item["shape"][1]} x {item["shape"][0]} px'
        for name, item in info['features'].items()
        if item['dtype'] == 'image'
    ]
    return f'images of {", ".join(cameras)} every {1 / info["fps"]:g} s'


def _write_groups(path: Path, tables: Sequence[pa.Table]) -> None:
    """Write tables as one file, each a block that can be read alone. PNG is packed already."""
    with pq.ParquetWriter(path, tables[0].schema, compression='none') as writer:
        for table in tables:
            writer.write_table(table, row_group_size=len(table))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file gets its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    yield partial
    partial.replace(path)
