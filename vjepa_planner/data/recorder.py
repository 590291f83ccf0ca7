# SPDX-License-Identifier: Apache-2.0
"""Makes an episode of what sensors say while it happens. Only the images of steps are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.synchronise import align, MAX_STATE_GAP, Measurements, SECOND
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image

# Poses and finger positions that follow each other faster than this add nothing [ns].
_MIN_PERIOD = SECOND // 100


class EpisodeRecorder:
    """Takes stamped messages of one episode. Stamps are nanoseconds of one clock.

    Measurements may come from another thread than images.
    """

    def __init__(self, step_duration: float) -> None:
        """Begin with nothing.

        Args:
            step_duration: Time from one frame to the next [s].
        """
        self._step = step_duration
        self._previous_stamp: int | None = None  # of any image
        self._wanted_stamp: int | None = None  # of the last one that was wanted
        self._images: list[tuple[int, Image]] = []
        self._poses: list[tuple[int, npt.NDArray[np.float64]]] = []
        self._closedness: list[tuple[int, npt.NDArray[np.float64]]] = []

    def __len__(self) -> int:
        """Return the number of images that were kept."""
        return len(self._images)

    def wants_image(self, stamp: int) -> bool:
        """Return whether the image of this stamp is a step; to be asked about every image.

        That is the one closest to a step after the last one, as far as can be told before the
        next one: one that comes less than half an image too early.
        """
        previous, self._previous_stamp = self._previous_stamp, stamp
        if self._wanted_stamp is not None and previous is not None:
            period = max(0, stamp - previous)
            due = self._wanted_stamp + round(self._step * SECOND)
            if self._wanted_stamp <= stamp < due - period // 2:
                return False
        self._wanted_stamp = stamp
        return True

    def add_image(self, stamp: int, image: Image) -> None:
        """Keep an image that was wanted.

        Raises:
            InvalidInputError: Its stamp is not later than that of the image before.
        """
        if self._images and stamp <= self._images[-1][0]:
            back = (self._images[-1][0] - stamp) / SECOND
            raise InvalidInputError(f'the stamps of images go back by {back:.3f} s.')
        self._images.append((stamp, image))

    def add_pose(
        self, stamp: int, position: npt.NDArray[np.float64], quaternion: npt.NDArray[np.float64]
    ) -> None:
        """Take a measured pose: position (3,) [m] and quaternion xyzw (4,)."""
        _append(self._poses, stamp, np.concatenate([position, quaternion]))

    def add_closedness(self, stamp: int, closedness: float) -> None:
        """Take a measured closedness of the gripper, 0 open .. 1 closed."""
        _append(self._closedness, stamp, np.array([closedness]))

    def episodes(self, task: str, facts: Mapping[str, str]) -> list[Episode]:
        """Return what was recorded: one episode, or the parts between gaps.

        Args:
            task: What the arm did, in words.
            facts: What else is known.

        Raises:
            InvalidInputError: No two steps with a measured state follow each other.
        """
        images, poses, closedness = list(self._images), list(self._poses), list(self._closedness)
        if not (images and poses and closedness):
            raise InvalidInputError(
                f'{len(images)} images, {len(poses)} poses and {len(closedness)} finger positions '
                'were received; all three are needed.'
            )
        stamps = np.array([stamp for stamp, _ in images], dtype=np.int64)
        runs = align(stamps, _measurements(poses), _measurements(closedness), self._step)
        episodes = [
            Episode(
                images=np.stack([images[int(i)][1] for i in run.images]),
                states=run.states,
                step_duration=self._step,
                task=task,
                facts={**facts, 'start': f'{stamps[run.images[0]] / SECOND:.3f}'},
            )
            for run in runs
            if len(run.images) > 1
        ]
        if not episodes:
            raise InvalidInputError(
                f'of {len(images)} images no two follow each other {self._step:g} s apart with '
                f'a measured state within {MAX_STATE_GAP:g} s. Compare rates and clocks.'
            )
        return episodes


def _append(
    kept: list[tuple[int, npt.NDArray[np.float64]]], stamp: int, value: npt.NDArray[np.float64]
) -> None:
    """Keep a measurement, unless it is older than the last one, or hardly newer."""
    if not kept or stamp >= kept[-1][0] + _MIN_PERIOD:
        kept.append((stamp, value))


def _measurements(kept: list[tuple[int, npt.NDArray[np.float64]]]) -> Measurements:
    stamps = np.array([stamp for stamp, _ in kept], dtype=np.int64)
    return Measurements(stamps, np.stack([value for _, value in kept]))
