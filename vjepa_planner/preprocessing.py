# SPDX-License-Identifier: Apache-2.0
"""From a camera image to the clip that the encoder takes, the one place where this happens.

The arithmetic is that of the official V-JEPA 2-AC code: crop, bilinear resize of float32 values
with half-pixel centres and without smoothing, then ImageNet normalisation.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import FloatArray

CROPS = ('square', 'squash')

# Of RGB values in 0..255.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_MEAN = np.array(IMAGENET_MEAN, dtype=np.float32) * 255
_STD = np.array(IMAGENET_STD, dtype=np.float32) * 255


class ImagePreprocessor:
    """Images to normalised two-frame clips.

    Attributes:
        size: Height and width of the clips [px].
        crop: ``'square'`` cuts the largest centred part of the clip's aspect ratio out of the
            image; ``'squash'`` takes the whole image and distorts it.
    """

    def __init__(self, size: int | tuple[int, int], crop: str = 'square', frames: int = 2) -> None:
        """Set the output.

        Args:
            size: Side of the clips [px], or their height and width.
            crop: One of ``CROPS``.
            frames: How often the still image is repeated: the encoder's tubelet size.

        Raises:
            InvalidInputError: ``crop`` is none of them, or a size is not positive.
        """
        if crop not in CROPS:
            raise InvalidInputError(f'crop must be one of {", ".join(CROPS)}; got {crop!r}.')
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 1 or frames < 1:
            raise InvalidInputError(f'size and frames must be positive, got {size}, {frames}.')
        self.crop = crop
        self._frames = frames

    def __call__(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Return clips, shape (batch, 3, frames, height, width).

        Args:
            images: RGB, uint8, shape (batch, height, width, 3).

        Raises:
            InvalidInputError: Another dtype or shape.
        """
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            kind = getattr(images, 'dtype', type(images).__name__)
            raise InvalidInputError(f'images must be a uint8 array in 0..255, got {kind}.')
        if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
            raise InvalidInputError(
                'images must have shape (batch, height, width, 3), RGB; got '
                f'{images.shape}. A single image is images[None].'
            )
        clips = np.empty((len(images), 3, self._frames, *self.size), dtype=np.float32)
        for clip, image in zip(clips, images, strict=True):
            clip[:] = self._still(image).transpose(2, 0, 1)[:, None]
        return clips

    def _still(self, image: npt.NDArray[np.uint8]) -> FloatArray:
        top, left, height, width = self.crop_box(image.shape[0], image.shape[1])
        pixels = image[top : top + height, left : left + width].astype(np.float32)
        if pixels.shape[:2] != self.size:
            resized = cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_LINEAR)
            pixels = resized.astype(np.float32, copy=False)
        pixels -= _MEAN
        pixels /= _STD
        return pixels

    def crop_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width [px] of the part that the model sees.

        Args:
            height: Of the camera image [px].
            width: Of the camera image [px].
        """
        if self.crop == 'squash':
            return 0, 0, height, width
        aspect = self.size[1] / self.size[0]
        if width > height * aspect:
            part = height, round(height * aspect)
        else:
            part = round(width / aspect), width
        return (height - part[0]) // 2, (width - part[1]) // 2, *part
