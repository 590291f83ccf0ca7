# SPDX-License-Identifier: Apache-2.0
"""Frames of videos, decoded by the FFmpeg that imageio-ffmpeg brings.

OpenCV's own FFmpeg lacks codecs that datasets use, such as AV1. What the file says about its rate
is ignored: frames come as they are stored, none twice and none left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image


def video_frames(path: Path, start: float = 0.0) -> Iterator[Image]:
    """Yield the frames of a video from a time on.

    Args:
        path: The video.
        start: Time of the first frame that is wanted, as the file counts it [s].

    Yields:
        RGB, uint8, shape (height, width, 3).

    Raises:
        InvalidInputError: There is no such file, or it is not a video.
    """
    if not path.is_file():
        raise InvalidInputError(f'no video at {path}.')
    seek = ['-ss', f'{start:.6f}'] if start > 0 else []
    frames = imageio_ffmpeg.read_frames(
        path, input_params=seek, output_params=['-fps_mode', 'passthrough']
    )
    try:
        width, height = next(frames)['size']
        for frame in frames:
            yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
    except (OSError, RuntimeError, KeyError, IndexError) as error:
        raise InvalidInputError(f'{path} cannot be decoded as a video.') from error
    finally:
        frames.close()
