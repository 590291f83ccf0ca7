# SPDX-License-Identifier: Apache-2.0
"""From images to the clips that the encoder takes, the one place where this happens.

Two kinds, as in the official code (facebookresearch/vjepa2 at c2963a4):

- for planning, :class:`ImagePreprocessor`: the arithmetic of V-JEPA 2-AC
  (``app/vjepa_droid/transforms.py``). Crop, bilinear resize of float32 values with half-pixel
  centres and without smoothing, ImageNet normalisation;
- for features, :class:`EvaluationPreprocessor`: the arithmetic of the evaluations
  (``evals/video_classification_frozen/utils.py``). Bilinear resize of uint8 values to a little
  more than the clip's size, centre crop, ImageNet normalisation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import FloatArray, Image

# Of RGB values in 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_MEAN = np.array(IMAGENET_MEAN, dtype=np.float32)
_STD = np.array(IMAGENET_STD, dtype=np.float32)

# Smallest and largest width / height of what is cut out, in widths / heights of the clip.
_ASPECTS = {'square': (1.0, 1.0), 'squash': (0.75, 1.35)}

CROPS = tuple(_ASPECTS)
PREPROCESSINGS = ('evaluation', *CROPS)


class Preprocessor(ABC):
    """Images to clips of one size.

    Attributes:
        size: Height and width of the clips [px].
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        """Set the side of the clips [px], or their height and width.

        Raises:
            InvalidInputError: A side is not positive.
        """
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 1:
            raise InvalidInputError(f'size must be positive, got {size}.')

    @abstractmethod
    def normalised(self, image: Image) -> FloatArray:
        """Return what the encoder sees of an RGB image, shape (*size, 3)."""

    def clip(self, images: Iterable[Image]) -> FloatArray:
        """Return the clip of consecutive images; they may come one by one and are not kept.

        Args:
            images: RGB, uint8, each of the same shape (height, width, 3).

        Returns:
            A batch of one clip, shape (1, 3, frames, *size).

        Raises:
            InvalidInputError: There are none, they differ in size, or they are not images.
        """
        frames: list[FloatArray] = []
        first: tuple[int, ...] = ()
        for image in images:
            _check_images(image, 3)
            first = first or image.shape
            if image.shape != first:
                raise InvalidInputError(
                    f'image {len(frames)} has shape {image.shape}, those before it {first}: the '
                    'images of a clip must all have one size.'
                )
            frames.append(self.normalised(image))
        if not frames:
            raise InvalidInputError('a clip needs at least one image, got none.')
        return np.stack(frames).transpose(3, 0, 1, 2)[None]


class ImagePreprocessor(Preprocessor):
    """Camera images to normalised clips of a still image, for planning.

    Attributes:
        size: Height and width of the clips [px].
        crop: ``'square'`` cuts the largest centred part of the clip's aspect ratio out of the
            image, as the official notebook does; ``'squash'`` cuts the largest centred part that
            is 0.75 to 1.35 times as wide as that and distorts it, as the released V-JEPA 2-AC
            was trained: all of a 640 x 480 image, columns 154 to 1125 of a 1280 x 720 one.
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
        super().__init__(size)
        check_crop(crop)
        if frames < 1:
            raise InvalidInputError(f'frames must be positive, got {frames}.')
        self.crop = crop
        self._frames = frames

    def __call__(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Return clips, shape (batch, 3, frames, *size).

        Args:
            images: RGB, uint8, shape (batch, height, width, 3).

        Raises:
            InvalidInputError: Another dtype or shape.
        """
        _check_images(images, 4)
        clips = np.empty((len(images), 3, self._frames, *self.size), dtype=np.float32)
        for clip, image in zip(clips, images, strict=True):
            clip[:] = self.normalised(image).transpose(2, 0, 1)[:, None]
        return clips

    def normalised(self, image: Image) -> FloatArray:
        """Return what the encoder sees of an RGB image, shape (*size, 3)."""
        top, left, height, width = self.crop_box(image.shape[0], image.shape[1])
        pixels = image[top : top + height, left : left + width].astype(np.float32)
        pixels = _resized(pixels, *self.size)
        pixels -= 255 * _MEAN
        pixels /= 255 * _STD
        return pixels

    def crop_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width [px] of the part that the model sees.

        Args:
            height: Of the camera image [px].
            width: Of the camera image [px].
        """
        narrowest, widest = (a * self.size[1] / self.size[0] for a in _ASPECTS[self.crop])
        part = height, width
        if width / height < narrowest:
            part = round(width / narrowest), width
        elif width / height > widest:
            part = height, round(height * widest)
        return (height - part[0]) // 2, (width - part[1]) // 2, *part


class EvaluationPreprocessor(Preprocessor):
    """Images to normalised clips as the official evaluations and feature examples make them.

    The image is resized until it just covers 256/224 of the clip's size, and the centre of that
    is cut out. Equal to the official transforms of numpy frames, bit for bit.
    """

    def normalised(self, image: Image) -> FloatArray:
        """Return what the encoder sees of an RGB image, shape (*size, 3)."""
        height, width = self.size
        resized = _resized(image, *self._resized_shape(image.shape[0], image.shape[1]))
        top, left = (round((a - b) / 2) for a, b in zip(resized.shape, self.size, strict=False))
        pixels = resized[top : top + height, left : left + width].astype(np.float32)
        pixels /= 255
        pixels -= _MEAN
        pixels /= _STD
        return pixels

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        covered = self.size[0] * 256 // 224, self.size[1] * 256 // 224
        if width * covered[0] < height * covered[1]:
            return int(covered[1] * height / width), covered[1]
        return covered[0], int(covered[0] * width / height)


def make_preprocessor(name: str, size: int | tuple[int, int]) -> Preprocessor:
    """Return what makes clips of consecutive images.

    Args:
        name: One of ``PREPROCESSINGS``: ``'evaluation'``, or a crop of ``ImagePreprocessor``.
        size: Side of the clips [px], or their height and width.

    Raises:
        InvalidInputError: ``name`` is none of them, or the size is not positive.
    """
    if name not in PREPROCESSINGS:
        raise InvalidInputError(
            f'preprocessing must be one of {", ".join(PREPROCESSINGS)}; got {name!r}.'
        )
    return EvaluationPreprocessor(size) if name == 'evaluation' else ImagePreprocessor(size, name)


def check_crop(crop: str) -> None:
    """Check the name of a crop.

    Raises:
        InvalidInputError: It is none of ``CROPS``.
    """
    if crop not in CROPS:
        raise InvalidInputError(f'crop must be one of {", ".join(CROPS)}; got {crop!r}.')


def _resized(pixels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _check_images(images: object, ndim: int) -> None:
    """Raise if these are not uint8 RGB images with so many dimensions."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, 'dtype', type(images).__name__)
        raise InvalidInputError(f'images must be a uint8 array in 0..255, got {kind}.')
    if images.ndim != ndim or images.shape[-1] != 3 or 0 in images.shape:
        shape = '(batch, height, width, 3)' if ndim == 4 else '(height, width, 3)'
        hint = ' A single image is images[None].' if ndim == 4 else ''
        raise InvalidInputError(f'images must have shape {shape}, RGB; got {images.shape}.{hint}')
