# SPDX-License-Identifier: Apache-2.0
"""How a dataset lies on disk: LeRobot's dataset format, version 3.0.

Facts from huggingface/lerobot (``src/lerobot/datasets``, ``docs/source/lerobot-dataset-v3.mdx``):

- ``meta/info.json``: version, rate, features, counts, where files are;
- ``meta/episodes/chunk-XXX/file-XXX.parquet``: one row per episode, with where its frames are;
- ``meta/tasks.parquet``: the tasks as pandas' index, with their numbers;
- ``meta/stats.json``: mean, deviation and range of each feature;
- ``data/chunk-XXX/file-XXX.parquet``: one row per frame, many episodes in a file;
- ``videos/CAMERA/chunk-XXX/file-XXX.mp4`` where images are videos.

We write images as PNG into the rows (LeRobot's dtype ``image``): training sees exactly the pixels
that were recorded, any frame is decoded alone, and nothing but OpenCV is needed. Videos are read.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from vjepa_planner.types import ACTION_DIM, STATE_DIM

CODEBASE_VERSION = 'v3.0'
INFO_FILE = Path('meta/info.json')
STATS_FILE = Path('meta/stats.json')
TASKS_FILE = Path('meta/tasks.parquet')
EPISODES_PATH = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
CHUNK_SIZE = 1000
"""Files in a directory ``chunk-XXX``."""

STATE_KEY = 'observation.state'
ACTION_KEY = 'action'
DONE_KEY = 'next.done'
IMAGE_PREFIX = 'observation.images.'
STATE_NAMES = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'closedness')
ACTION_NAMES = ('dx', 'dy', 'dz', 'drx', 'dry', 'drz', 'dclosedness')

# Columns of ours in the table of episodes; LeRobot leaves columns that it does not know alone.
SEED_COLUMN = 'vjepa/seed'
FACTS_COLUMN = 'vjepa/facts'

COMMANDED_GRIPPER = {'gripper_actions': 'commanded'}
"""Fact of an episode whose actions say what was asked of the gripper, not what was measured."""

_COUNTERS = ('frame_index', 'episode_index', 'index', 'task_index')


def image_key(camera: str) -> str:
    """Return the feature that holds the images of a camera."""
    return f'{IMAGE_PREFIX}{camera}'


def features(camera: str, height: int, width: int) -> dict[str, dict[str, Any]]:
    """Return the features of our datasets, as ``info.json`` describes them.

    Args:
        camera: Name of the camera.
        height: Of its images [px].
        width: Of its images [px].
    """
    image = {
        'dtype': 'image',
        'shape': [height, width, 3],
        'names': ['height', 'width', 'channels'],
    }
    return {
        image_key(camera): image,
        STATE_KEY: {'dtype': 'float32', 'shape': [STATE_DIM], 'names': list(STATE_NAMES)},
        ACTION_KEY: {'dtype': 'float32', 'shape': [ACTION_DIM], 'names': list(ACTION_NAMES)},
        DONE_KEY: {'dtype': 'bool', 'shape': [1], 'names': None},
        'timestamp': {'dtype': 'float32', 'shape': [1], 'names': None},
        **{name: {'dtype': 'int64', 'shape': [1], 'names': None} for name in _COUNTERS},
    }


def frame_schema(camera: str) -> pa.Schema:
    """Return the columns of a data file, with what Hugging Face ``datasets`` wants to know."""
    image = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    columns: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
        image_key(camera): (image, {'_type': 'Image'}),
        STATE_KEY: (pa.list_(pa.float32(), STATE_DIM), _sequence(STATE_DIM)),
        ACTION_KEY: (pa.list_(pa.float32(), ACTION_DIM), _sequence(ACTION_DIM)),
        DONE_KEY: (pa.bool_(), _value('bool')),
        'timestamp': (pa.float32(), _value('float32')),
        **{name: (pa.int64(), _value('int64')) for name in _COUNTERS},
    }
    described = {name: description for name, (_, description) in columns.items()}
    return pa.schema(
        [(name, kind) for name, (kind, _) in columns.items()],
        metadata={'huggingface': json.dumps({'info': {'features': described}})},
    )


def _value(dtype: str) -> dict[str, Any]:
    return {'dtype': dtype, '_type': 'Value'}


def _sequence(length: int) -> dict[str, Any]:
    return {'feature': _value('float32'), 'length': length, '_type': 'Sequence'}


def episode_schema(stats: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """Return the columns of a file of episodes.

    Args:
        stats: Statistics of one episode, for the names and shapes of their columns.
    """
    places = [('data/chunk_index', pa.int64()), ('data/file_index', pa.int64())]
    places += [('dataset_from_index', pa.int64()), ('dataset_to_index', pa.int64())]
    places += [(f'meta/episodes/{name}_index', pa.int64()) for name in ('chunk', 'file')]
    return pa.schema(
        [
            ('episode_index', pa.int64()),
            ('tasks', pa.list_(pa.string())),
            ('length', pa.int64()),
            *places,
            (SEED_COLUMN, pa.int64()),
            (FACTS_COLUMN, pa.string()),
            *((name, _stats_type(value)) for name, value in flat_stats(stats).items()),
        ]
    )


def flat_stats(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return statistics by the names that their columns have in the table of episodes."""
    return {
        f'stats/{feature}/{name}': value
        for feature, values in stats.items()
        for name, value in values.items()
    }


def _stats_type(value: Any) -> pa.DataType:  # noqa: ANN401 - nested lists of numbers
    if isinstance(value, list):
        return pa.list_(_stats_type(value[0]))
    return pa.int64() if isinstance(value, int) else pa.float64()


def tasks_table(tasks: list[str]) -> pa.Table:
    """Return the tasks and their numbers as pandas would write them with the task as index."""
    table = pa.table({'task_index': pa.array(range(len(tasks)), pa.int64()), 'task': tasks})
    columns = [
        _pandas_column('task_index', 'int64', 'int64'),
        _pandas_column('task', 'unicode', 'object'),
    ]
    index = _pandas_column(None, 'unicode', 'object')
    pandas = {'index_columns': ['task'], 'column_indexes': [index], 'columns': columns}
    return table.replace_schema_metadata({'pandas': json.dumps(pandas)})


def _pandas_column(name: str | None, pandas_type: str, numpy_type: str) -> dict[str, Any]:
    return {
        'name': name,
        'field_name': name,
        'pandas_type': pandas_type,
        'numpy_type': numpy_type,
        'metadata': None,
    }


def make_info(
    described: Mapping[str, Any], step_duration: float, episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    """Return the content of ``info.json``.

    Args:
        described: Features, see :func:`features`.
        step_duration: Time between frames [s].
        episodes: How many there are.
        frames: How many there are in all of them.
        tasks: How many different ones there are.
    """
    rate = 1.0 / step_duration
    whole = round(rate)
    return {
        'codebase_version': CODEBASE_VERSION,
        'robot_type': 'franka',
        'total_episodes': episodes,
        'total_frames': frames,
        'total_tasks': tasks,
        'chunks_size': CHUNK_SIZE,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 200,
        # LeRobot expects whole numbers but computes with any.
        'fps': whole if whole and abs(rate - whole) < 1e-9 else rate,
        'splits': {'train': f'0:{episodes}'},
        'data_path': DATA_PATH,
        'video_path': None,
        'features': dict(described),
    }
