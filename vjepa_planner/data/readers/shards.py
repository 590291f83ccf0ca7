# SPDX-License-Identifier: Apache-2.0
"""Reads shards, as ``vjepa collect`` wrote them before it wrote datasets: ``shard-*.npz``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import zipfile

import numpy as np

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.pictures import fit_image
from vjepa_planner.data.readers.base import (
    ReadOptions,
    Source,
    SourceConfig,
    UnreadableRecordingError,
)
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3

_STEP_DURATION = 0.66  # [s] of the simulator's blocking action and its settling
_UNREADABLE = (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError)  # of NumPy


class ShardSource(Source):
    """A directory of shards; each is a recording of many episodes."""

    def __init__(self, path: Path, options: ReadOptions, config: SourceConfig) -> None:
        """Find the shards; see :class:`Source`."""
        del config
        super().__init__(path, options)
        self._shards = sorted(path.glob('shard-*.npz'))
        if options.step_duration not in (None, _STEP_DURATION):
            raise InvalidInputError(
                f'the steps of shards last {_STEP_DURATION:g} s and cannot be changed.'
            )

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self._shards)

    def name(self, index: int) -> str:
        """Return the name of a shard's file."""
        return self._shards[index].name

    def read(self, index: int) -> Sequence[Episode]:
        """Return the episodes of a shard; see :class:`Source`."""
        path = self._shards[index]
        try:
            with np.load(path) as file:
                images, states, seeds = (file[key] for key in ('images', 'states', 'seeds'))
        except _UNREADABLE as error:
            raise UnreadableRecordingError(f'{path} cannot be read as a shard ({error}).') from (
                error
            )
        return [
            Episode(
                images=np.stack([fit_image(image, self.options.image_size) for image in frames]),
                states=measured.astype(np.float32),
                step_duration=_STEP_DURATION,
                seed=int(seed),
                facts={
                    'source': 'simulator',
                    'origin': self.origin(index),
                    'ee_frame': fr3.TCP_FRAME,
                },
            )
            for frames, measured, seed in zip(images, states, seeds, strict=True)
        ]
