# SPDX-License-Identifier: Apache-2.0
"""Reads datasets of LeRobot's format, ours and those of others, versions 3.0 and 2.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vjepa_planner.data.dataset import Dataset, EpisodeEntry, open_dataset
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.lerobot_format import ACTION_KEY, COMMANDED_GRIPPER, IMAGE_PREFIX
from vjepa_planner.data.pictures import decode_image, fit_image
from vjepa_planner.data.readers.base import (
    choose_camera,
    described,
    ReadOptions,
    Source,
    SourceConfig,
    UnreadableRecordingError,
)
from vjepa_planner.data.row_reader import RowReader
from vjepa_planner.data.state_columns import assemble_state, find_state, parse_state
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image

_METRES = {'m': 1.0, 'cm': 0.01, 'mm': 0.001}
_RADIANS = {'rad': 1.0, 'deg': math.pi / 180}
_STEP_TOLERANCE = 0.01  # of a step


@dataclass(frozen=True, kw_only=True)
class LeRobotConfig(SourceConfig):
    """How the state of another robot is to be understood."""

    state: tuple[str, ...] = described(
        (), 'Where x y z, Euler angles or quaternion xyzw, and gripper are, as FEATURE:NAME'
    )
    length_unit: str = described('m', 'Of the position: m, cm or mm')
    angle_unit: str = described('rad', 'Of Euler angles: rad or deg')
    gripper_open: float = described(0.0, 'What stands for the open gripper')
    gripper_closed: float = described(1.0, 'What stands for the closed gripper')
    ee_frame: str = described('', 'Frame whose pose the state is')

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        for unit, known in ((self.length_unit, _METRES), (self.angle_unit, _RADIANS)):
            if unit not in known:
                raise InvalidInputError(f'unit {unit!r} is none of {", ".join(known)}.')
        if self.gripper_open == self.gripper_closed:
            raise InvalidInputError('gripper_open and gripper_closed must differ.')


class LeRobotSource(Source):
    """A dataset; each of its episodes is a recording.

    Attributes:
        dataset: Its table of contents.
    """

    def __init__(
        self, path: Path, options: ReadOptions, config: LeRobotConfig | None = None
    ) -> None:
        """Read the table of contents; see :class:`Source`."""
        super().__init__(path, options)
        self._config = config or LeRobotConfig()
        self.dataset: Dataset = open_dataset(path)
        features = self.dataset.features
        camera = choose_camera(self.dataset.cameras, options.camera, path)
        self._image_key = camera if camera in features else IMAGE_PREFIX + camera
        self._camera = camera.rpartition('.')[2]
        self._columns = (
            parse_state(self._config.state, features)
            if self._config.state
            else find_state(features)
        )
        self._stride = _stride(self.dataset.step_duration, options.step_duration)
        self._rows = RowReader()

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.dataset.episodes)

    def length(self, index: int) -> int:
        """Return the number of frames of an episode, without reading it."""
        return math.ceil(self.dataset.episodes[index].length / self._stride)

    @property
    def step_duration(self) -> float:
        """Time between the frames of the episodes [s]."""
        return self.dataset.step_duration * self._stride

    def name(self, index: int) -> str:
        """Return the name of the dataset and the number of an episode."""
        return f'{self.path.resolve().name}, episode {self.dataset.episodes[index].index}'

    def origin(self, index: int) -> str:
        """Return what the episode says about its origin, if it is one of ours and does."""
        return self.dataset.episodes[index].facts.get('origin', super().origin(index))

    def states(self, index: int) -> npt.NDArray[np.float32]:
        """Return the states of an episode, shape (frames, 7), without its images.

        Raises:
            UnreadableRecordingError: They cannot be read.
        """
        columns = list(dict.fromkeys(column.feature for column in self._columns))
        try:
            return self._states(self._rows.read(self.dataset.episodes[index], columns))
        except InvalidInputError as error:
            raise UnreadableRecordingError(f'episode {index}: {error}') from error

    def times(self, index: int) -> npt.NDArray[np.float64]:
        """Return the times of all frames of an episode, as the dataset has them [s].

        Raises:
            UnreadableRecordingError: They cannot be read.
        """
        try:
            rows = self._rows.read(self.dataset.episodes[index], ['timestamp'])
        except InvalidInputError as error:
            raise UnreadableRecordingError(f'episode {index}: {error}') from error
        return np.array(rows['timestamp'].to_pylist(), dtype=np.float64).reshape(-1)

    def read(self, index: int) -> Sequence[Episode]:
        """Return the episode ``index``; see :class:`Source`."""
        entry = self.dataset.episodes[index]
        try:
            commanded = self._knows_commands(entry)
            rows = self._rows.read(
                entry, [*self._wanted_columns(), *([ACTION_KEY] if commanded else [])]
            )
            images = [
                fit_image(image, self.options.image_size, self.options.crop)
                for image in self._images(entry, rows)
            ]
            states = self._states(rows)
        except InvalidInputError as error:
            raise UnreadableRecordingError(f'episode {index}: {error}') from error
        if len(images) != len(states):
            raise UnreadableRecordingError(
                f'episode {index}: {len(states)} states but {len(images)} images.'
            )
        origin = {'source': 'lerobot', 'origin': self.origin(index)}
        origin |= {'ee_frame': self._config.ee_frame} if self._config.ee_frame else {}
        return [
            Episode(
                images=np.stack(images),
                states=states,
                step_duration=self.step_duration,
                camera=self._camera,
                task=entry.task,
                seed=entry.seed,
                facts=origin | dict(entry.facts),
                gripper_commands=_gripper_commands(rows) if commanded else None,
            )
        ]

    def _knows_commands(self, entry: EpisodeEntry) -> bool:
        """Return whether actions of the gripper are what was asked for in each of the steps."""
        return entry.facts.items() >= COMMANDED_GRIPPER.items() and self._stride == 1

    def _wanted_columns(self) -> list[str]:
        wanted = list(dict.fromkeys(column.feature for column in self._columns))
        is_video = self.dataset.features[self._image_key]['dtype'] == 'video'
        return wanted if is_video else [*wanted, self._image_key]

    def _states(self, rows: pa.Table) -> npt.NDArray[np.float32]:
        chosen = rows.take(list(range(0, len(rows), self._stride)))
        values = {
            column.feature: np.array(chosen[column.feature].to_pylist(), dtype=np.float64)
            for column in self._columns
        }
        numbers = [
            values[feature].reshape(len(chosen), -1)[:, index] for feature, index in self._columns
        ]
        config = self._config
        return assemble_state(
            np.stack(numbers, axis=1),
            metre=_METRES[config.length_unit],
            radian=_RADIANS[config.angle_unit],
            gripper_open=config.gripper_open,
            gripper_closed=config.gripper_closed,
        )

    def _images(self, entry: EpisodeEntry, rows: pa.Table) -> Iterator[Image]:
        if self._image_key in rows.column_names:
            for cell in rows[self._image_key][:: self._stride]:
                yield decode_image(cell['bytes'].as_py() or b'')
            return
        from vjepa_planner.data.video import video_frames

        part = entry.videos[self._image_key]
        # Half a frame early, so that rounding does not lose the first one.
        start = max(0.0, part.start - self.dataset.step_duration / 2)
        for number, frame in enumerate(video_frames(part.path, start)):
            if number >= entry.length:
                break
            if number % self._stride == 0:
                yield frame


def _gripper_commands(rows: pa.Table) -> npt.NDArray[np.float32]:
    return np.array(rows[ACTION_KEY].to_pylist(), dtype=np.float32)[:, 6]


def _stride(present: float, wanted: float | None) -> int:
    """Return how many frames of a dataset make one step.

    Raises:
        InvalidInputError: They do not fit into it.
    """
    if wanted is None:
        return 1
    stride = round(wanted / present)
    if stride < 1 or abs(stride * present - wanted) > _STEP_TOLERANCE * wanted:
        raise InvalidInputError(
            f'frames are {present:g} s apart, so steps of {wanted:g} s cannot be made of them. '
            f'Choose a multiple of {present:g} s.'
        )
    return stride
