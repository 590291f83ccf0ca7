# SPDX-License-Identifier: Apache-2.0
"""Whether a camera still sees the scene: pictures that stay the same or show nothing."""

from __future__ import annotations

import hashlib

import numpy as np

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image

_STRIDE = 4  # of the pixels that the contrast is taken from: all of them take 6 ms at 640 x 480


class ImageWatch:
    """Looks at images one after the other, and remembers the last one and the first one's size."""

    def __init__(self) -> None:
        """Begin without an image."""
        self._digest = b''
        self._since = 0.0  # steady time [s] of the first image with these pixels
        self._shape: tuple[int, ...] | None = None

    def check(self, image: Image, now: float, frozen_after: float, min_contrast: float) -> None:
        """Look at the next image.

        Args:
            image: uint8 RGB of shape (height, width, 3).
            now: Present steady time [s].
            frozen_after: Images that are the same for longer than this are refused [s]; 0: never.
            min_contrast: Standard deviation of the grey values that an image of a scene has, of
                255 levels; 0: anything goes.

        Raises:
            InvalidInputError: The camera is frozen, dark, covered or overexposed, or its images
                are of another size than the one before; the next one of that size is accepted.
        """
        before, self._shape = self._shape, image.shape
        if before not in (None, image.shape):
            raise InvalidInputError(
                f'the images were {before[1]} x {before[0]} pixels and are {image.shape[1]} x '
                f'{image.shape[0]} now. Was the camera changed? Its view must be the same.'
            )
        contrast = float(image[::_STRIDE, ::_STRIDE].mean(axis=2).std())
        if contrast < min_contrast:
            raise InvalidInputError(
                f'the image shows nothing: its grey values differ by {contrast:.1f}, at least '
                f'{min_contrast:g} is needed (parameter min_contrast). Is the lens covered?'
            )
        self._check_frozen(image, now, frozen_after)

    def _check_frozen(self, image: Image, now: float, frozen_after: float) -> None:
        if not frozen_after:
            self._digest = b''
            return
        digest = hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
        if digest != self._digest:
            self._digest, self._since = digest, now
        elif now - self._since > frozen_after:
            raise InvalidInputError(
                f'the image has been the same for {now - self._since:.1f} s: is the camera '
                'frozen? (parameter frozen_after)'
            )
