# SPDX-License-Identifier: Apache-2.0
"""Pictures into a video that every player, browser and phone plays: H.264 in MP4."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
import subprocess

from vjepa_planner.errors import requires_extra, VjepaPlannerError
from vjepa_planner.types import Image

# 4:2:0 and the index at the front: what browsers and phones can play.
_OUTPUT = '-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -movflags +faststart'


class VideoError(VjepaPlannerError):
    """A video cannot be written; the message has ffmpeg's words."""


def write_video(path: Path, pictures: Iterable[Image], rate: float) -> None:
    """Write pictures as MP4.

    Args:
        path: Of the video; replaced.
        pictures: At least one, uint8 RGB of one shape whose sides are even.
        rate: Pictures per second.

    Raises:
        VideoError: ffmpeg fails.
        MissingDependencyError: imageio-ffmpeg is not installed.
    """
    with requires_extra('writing videos', 'demo'):
        from imageio_ffmpeg import get_ffmpeg_exe

    remaining = iter(pictures)
    first = next(remaining)
    height, width = first.shape[:2]
    source = f'-f rawvideo -pixel_format rgb24 -video_size {width}x{height} -framerate {rate} -i -'
    command = [get_ffmpeg_exe(), '-y', '-loglevel', 'error', *source.split(), *_OUTPUT.split()]
    with subprocess.Popen(
        [*command, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ffmpeg:
        assert ffmpeg.stdin is not None
        assert ffmpeg.stderr is not None
        try:
            for picture in chain([first], remaining):
                ffmpeg.stdin.write(picture.tobytes())
            ffmpeg.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why below
        complaint = ffmpeg.stderr.read().decode(errors='replace').strip()
    if ffmpeg.returncode != 0:
        raise VideoError(f'ffmpeg cannot write {path}: {complaint}')
