# SPDX-License-Identifier: Apache-2.0
"""What was seen and measured during the episode, with its times. No ROS here."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.types import Image

_JPEG_QUALITY = 95  # raw images of a slow run would fill the memory


class Frame(NamedTuple):
    """A camera image and when it was taken [ns]."""

    stamp: int
    jpeg: npt.NDArray[np.uint8]

    def image(self) -> Image:
        """Return the image, uint8 RGB."""
        decoded = cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded[:, :, ::-1])


class Recording:
    """Camera images and measured positions of the end effector."""

    def __init__(self) -> None:
        """Begin empty."""
        self.frames: list[Frame] = []
        self._stamps: list[int] = []
        self._positions: list[npt.NDArray[np.float64]] = []

    def add_image(self, stamp: int, image: Image) -> None:
        """Take an image, uint8 RGB, that was taken at ``stamp`` [ns]."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        self.frames.append(Frame(stamp, cv2.imencode('.jpg', image[:, :, ::-1], quality)[1]))

    def add_position(self, stamp: int, position: npt.NDArray[np.float64]) -> None:
        """Take a measured position, shape (3,) [m], of ``stamp`` [ns]; old ones are ignored."""
        if not self._stamps or stamp > self._stamps[-1]:
            self._stamps.append(stamp)
            self._positions.append(position)

    def position_at(self, stamp: int) -> npt.NDArray[np.float64] | None:
        """Return the last position that was measured by then, shape (3,) [m].

        Before the first one it is that one: nothing has moved yet. None if there is none at all.
        """
        if not self._positions:
            return None
        return self._positions[max(0, bisect_right(self._stamps, stamp) - 1)]

    @property
    def position(self) -> npt.NDArray[np.float64] | None:
        """The newest position, shape (3,) [m], if any."""
        return self._positions[-1] if self._positions else None
