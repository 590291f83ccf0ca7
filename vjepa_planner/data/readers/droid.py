# SPDX-License-Identifier: Apache-2.0
"""Reads DROID's raw layout: a directory per trajectory with metadata, trajectory.h5 and videos.

The steps are steps of physical time. The MP4 files claim 60 frames per second but hold a frame per
control step, at 15 Hz; who trusts the claim gets steps four times as long as meant, which is how
V-JEPA 2-AC came to be trained on steps of about one second (facebookresearch/vjepa2#183). Here the
times of the control steps in trajectory.h5 count, or ``rate`` where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.pictures import fit_image
from vjepa_planner.data.readers.base import (
    described,
    ReadOptions,
    Source,
    SourceConfig,
    UnreadableRecordingError,
)
from vjepa_planner.data.synchronise import choose_steps, in_order, SECOND
from vjepa_planner.data.video import video_frames
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image

DEFAULT_STEP_DURATION = 1.0
"""What the official training really saw [s]."""

_POSE = 'observation/robot_state/cartesian_position'
_GRIPPER = 'observation/robot_state/gripper_position'
_TIMES = 'observation/timestamp/control/step_start'  # [ms]
_MILLISECOND = 1_000_000


@dataclass(frozen=True, kw_only=True)
class DroidConfig(SourceConfig):
    """What the files do not say."""

    rate: float = described(15.0, 'Control steps per second where there are no time stamps [Hz]')
    ee_frame: str = described('fr3_link8', 'Frame whose pose cartesian_position is')

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if not 0 < self.rate < 1000:
            raise InvalidInputError(f'rate must be between 0 and 1000 Hz, got {self.rate}.')


class DroidSource(Source):
    """A directory with trajectories somewhere below it; each is a recording."""

    def __init__(self, path: Path, options: ReadOptions, config: DroidConfig) -> None:
        """Find the trajectories; see :class:`Source`."""
        super().__init__(path, options)
        self._config = config
        self._folders = sorted(file.parent for file in path.rglob('trajectory.h5'))

    def __len__(self) -> int:
        """Return the number of trajectories."""
        return len(self._folders)

    def name(self, index: int) -> str:
        """Return the folder of a trajectory."""
        return str(self._folders[index].relative_to(self.path))

    def read(self, index: int) -> Sequence[Episode]:
        """Return the episodes of a trajectory; see :class:`Source`."""
        folder = self._folders[index]
        step = self.options.step_duration or DEFAULT_STEP_DURATION
        camera = self.options.camera or 'left'
        try:
            metadata = _read_metadata(folder)
            states, stamps = self._read_trajectory(folder / 'trajectory.h5')
            video = folder / 'recordings' / 'MP4' / _video_name(metadata, camera)
            runs = choose_steps(stamps, step)
            images = self._images(video, np.concatenate(runs))
        except (InvalidInputError, OSError, KeyError, ValueError) as error:
            raise UnreadableRecordingError(f'{folder}: {error}') from error
        runs = [np.array([i for i in run if i in images]) for run in runs]
        return [
            Episode(
                images=np.stack([images[i] for i in run]),
                states=states[run],
                step_duration=step,
                camera=camera,
                task=str(metadata.get('current_task', '')),
                facts={
                    'source': 'droid',
                    'origin': self.origin(index),
                    'uuid': str(metadata.get('uuid', '')),
                    'ee_frame': self._config.ee_frame,
                },
            )
            for run in runs
            if len(run) > 1
        ]

    def _read_trajectory(
        self, path: Path
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return states, shape (rows, 7), and the times of their control steps [ns]."""
        with h5py.File(path) as file:
            if missing := [name for name in (_POSE, _GRIPPER) if name not in file]:
                raise InvalidInputError(f'{path.name} has no {missing[0]}.')
            gripper = np.asarray(file[_GRIPPER], dtype=np.float64).reshape(-1, 1)
            states = np.hstack([np.asarray(file[_POSE], dtype=np.float64), gripper])
            if _TIMES in file:
                stamps = np.asarray(file[_TIMES], dtype=np.int64) * _MILLISECOND
            else:
                stamps = SECOND + np.round(
                    np.arange(len(states)) * SECOND / self._config.rate
                ).astype(np.int64)
        if len(stamps) != len(states):
            raise InvalidInputError(f'{len(states)} states but {len(stamps)} time stamps.')
        return states.astype(np.float32), in_order('the control steps', stamps.tolist())

    def _images(self, video: Path, wanted: Iterable[int]) -> dict[int, Image]:
        """Return the images of control steps by their number; the video may end early."""
        numbers = set(wanted)
        last = max(numbers)
        images = {}
        for number, frame in enumerate(video_frames(video)):
            if number in numbers:
                images[number] = fit_image(frame, self.options.image_size, self.options.crop)
            if number >= last:
                break
        return images


def _read_metadata(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob('metadata*.json'))
    if not files:
        raise InvalidInputError('there is no metadata_*.json.')
    metadata: dict[str, Any] = json.loads(files[0].read_text(encoding='utf-8'))
    return metadata


def _video_name(metadata: dict[str, Any], camera: str) -> str:
    """Return the name of a camera's file, which is that of its serial number."""
    ending = '_mp4_path'
    cameras = [key.removesuffix(ending) for key in metadata if key.endswith(ending)]
    if camera not in cameras:
        raise InvalidInputError(
            f'there is no camera {camera!r}; there are {", ".join(cameras) or "none"} (--camera).'
        )
    return Path(metadata[camera + ending]).name
