# SPDX-License-Identifier: Apache-2.0
"""Which frames of a video, or which images, make the clip that is encoded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TYPE_CHECKING

from vjepa_planner.errors import InvalidInputError

if TYPE_CHECKING:
    from vjepa_planner.media import Footage
    from vjepa_planner.preprocessing import Preprocessor
    from vjepa_planner.types import FloatArray

# The official example takes numpy.arange(0, 128, 2).
_FRAMES = 64
_VIDEO_STRIDE = 2


def add_frame_options(parser: argparse.ArgumentParser) -> None:
    """Add the input and what :func:`choose_frames` reads."""
    parser.add_argument(
        'input',
        type=Path,
        nargs='+',
        metavar='INPUT',
        help='a video, a directory of images (sorted by name), or image files in their order',
    )
    parser.add_argument(
        '--frames', type=int, help='length of the clip (default: 64, or all images if fewer)'
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        '--stride', type=int, help='take every so many-th frame (default: 2; of images 1)'
    )
    pace.add_argument('--fps', type=float, help='take so many frames per second of the video')
    parser.add_argument(
        '--start', type=int, default=0, help='first frame, counted from 0 (default: %(default)s)'
    )


def choose_frames(footage: Footage, options: argparse.Namespace) -> list[int]:
    """Return the indices of the frames that the options ask for, ascending.

    Raises:
        InvalidInputError: A number is out of range, or there is no frame rate to count by.
    """
    smallest = {'--frames': 1, '--stride': 1, '--start': 0}
    for name, lowest in smallest.items():
        number = getattr(options, name[2:])
        if number is not None and number < lowest:
            raise InvalidInputError(f'{name} must be at least {lowest}, got {number}.')
    stride = _stride(footage, options)
    frames = options.frames
    if frames is None:
        frames = _FRAMES
        if footage.count is not None:
            there = 1 + int((footage.count - 1 - options.start) / stride)
            frames = min(frames, max(there, 1))
    # The small number undoes that 3 * 0.1 is less than 0.3.
    return [options.start + int(step * stride + 1e-6) for step in range(frames)]


def _stride(footage: Footage, options: argparse.Namespace) -> float:
    if options.fps is None:
        return float(options.stride or (_VIDEO_STRIDE if footage.count is None else 1))
    if footage.rate is None:
        raise InvalidInputError(f'{footage.name} has no frame rate: use --stride, not --fps.')
    if not 0 < options.fps <= footage.rate:
        raise InvalidInputError(
            f'--fps must be positive and at most the {footage.rate:g} of {footage.name}, got '
            f'{options.fps:g}.'
        )
    return footage.rate / float(options.fps)


def read_clip(
    footage: Footage,
    indices: Sequence[int],
    preprocessor: Preprocessor,
    encoder: Mapping[str, Any],
) -> FloatArray:
    """Read frames, one at a time, into a clip of shape (1, 3, frames, height, width).

    A single frame becomes a still: it fills a tubelet, unless the encoder has patches for images
    (V-JEPA 2.1).

    Args:
        footage: Where the frames are.
        indices: Which ones.
        preprocessor: Makes what is kept of each.
        encoder: Section of the model's ``config.json``.

    Raises:
        InvalidInputError: Their number does not divide into tubelets, there are not so many,
            they differ in size, or one cannot be read.
    """
    from tqdm import tqdm

    from vjepa_planner.media import FootageEndError

    tubelet = int(encoder['tubelet_size'])
    if len(indices) > 1 and len(indices) % tubelet:
        whole = len(indices) - len(indices) % tubelet
        raise InvalidInputError(
            f'the model takes clips of a multiple of {tubelet} frames, or one frame as a still; '
            f'got {len(indices)}. Use --frames {whole or 1}.'
        )
    # Nothing is shown of what takes less than a second.
    frames = tqdm(
        footage.take(indices), 'reading', len(indices), unit='frame', leave=False, delay=1
    )
    try:
        clip = preprocessor.clip(frames)
    except FootageEndError as error:
        raise InvalidInputError(f'{error} {_advice(error.count, indices, tubelet)}') from error
    if len(indices) == 1 and encoder.get('version') != '2.1':
        clip = clip.repeat(tubelet, axis=2)
    return clip


def _advice(count: int, indices: Sequence[int], tubelet: int) -> str:
    """Return what to do about a footage of ``count`` frames."""
    usable = sum(index < count for index in indices)
    if usable >= tubelet:
        return f'Use --frames {usable - usable % tubelet}, or frames that are closer together.'
    return 'Use a smaller --start, or frames that are closer together.'
