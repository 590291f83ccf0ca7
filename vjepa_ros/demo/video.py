# SPDX-License-Identifier: Apache-2.0
"""The video of the episode: encodes the pictures of the painter as H.264."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import subprocess

from vjepa_planner.types import Image
from vjepa_ros.demo.errors import DemoError
from vjepa_ros.demo.painter import HEIGHT, Painter, WIDTH

SPEED = 2.0
"""Seconds of the episode per second of the video."""

_FPS = 10
_PERIOD = round(SPEED / _FPS * 1e9)  # [ns] of the episode between two frames
_LAST_FRAMES = 2 * _FPS  # that show the end
_INPUT = f'-f rawvideo -pixel_format rgb24 -video_size {WIDTH}x{HEIGHT} -framerate {_FPS} -i -'
# 4:2:0 and the index at the front: what browsers and phones can play.
_OUTPUT = '-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -movflags +faststart'


def write_video(path: Path, painter: Painter) -> None:
    """Write an episode as MP4 that every player plays.

    Args:
        path: Of the video.
        painter: Of the episode.

    Raises:
        DemoError: ffmpeg fails.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), '-y', '-loglevel', 'error', *_INPUT.split(), *_OUTPUT.split()]
    with subprocess.Popen(
        [*command, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ffmpeg:
        assert ffmpeg.stdin is not None
        assert ffmpeg.stderr is not None
        try:
            for picture in _pictures(painter):
                ffmpeg.stdin.write(picture.data)
            ffmpeg.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why below
        complaint = ffmpeg.stderr.read().decode(errors='replace').strip()
    if ffmpeg.returncode != 0:
        raise DemoError(f'ffmpeg cannot write {path}: {complaint}')


def _pictures(painter: Painter) -> Iterator[Image]:
    """Yield the frames of the video."""
    for now in range(painter.begin, painter.end, _PERIOD):
        yield painter.paint(now)
    last = painter.paint(painter.end)
    for _ in range(_LAST_FRAMES):
        yield last
