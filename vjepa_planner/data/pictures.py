# SPDX-License-Identifier: Apache-2.0
"""Images on their way into and out of datasets: cut, scaled, packed and unpacked."""

from __future__ import annotations

import cv2
import numpy as np

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import ImagePreprocessor
from vjepa_planner.types import Image


def fit_image(image: Image, size: int | None, crop: str = 'squash') -> Image:
    """Return what a model sees of an image as a square, each pixel the mean of those it covers.

    Args:
        image: RGB, uint8, shape (height, width, 3).
        size: Side of the square [px]; None leaves the image as it is.
        crop: What is cut out first, one of ``preprocessing.CROPS``.
    """
    if size is None or image.shape[:2] == (size, size):
        return image
    top, left, height, width = ImagePreprocessor(size, crop).crop_box(*image.shape[:2])
    part = image[top : top + height, left : left + width]
    shrinks = min(height, width) > size
    scaled = cv2.resize(
        part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return scaled.astype(np.uint8, copy=False)


def encode_png(image: Image) -> bytes:
    """Return an RGB image, uint8 (height, width, 3), as the bytes of a PNG file."""
    _, packed = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return packed.tobytes()


def decode_image(packed: bytes) -> Image:
    """Return the image in the bytes of a PNG or JPEG file as RGB, uint8 (height, width, 3).

    Raises:
        InvalidInputError: They are not an image.
    """
    image = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR) if packed else None
    if image is None:
        raise InvalidInputError('an image in the recording is damaged: it cannot be decoded.')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
