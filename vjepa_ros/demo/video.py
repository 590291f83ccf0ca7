# SPDX-License-Identifier: Apache-2.0
"""The video of the episode: encodes the pictures of the painter as H.264."""

from __future__ import annotations

from pathlib import Path

from vjepa_ros.demo.painter import HEIGHT, Painter, WIDTH

SPEED = 2.0
"""Seconds of the episode per second of the video."""

_FPS = 10
_PERIOD = round(SPEED / _FPS * 1e9)  # [ns] of the episode between two frames
_LAST_FRAMES = 2 * _FPS  # that show the end
_OPTIONS = ['-movflags', '+faststart', '-crf', '20', '-preset', 'veryfast']


def write_video(path: Path, painter: Painter) -> None:
    """Write an episode as MP4 that every player plays.

    Args:
        path: Of the video.
        painter: Of the episode.
    """
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        str(path),
        (WIDTH, HEIGHT),
        fps=_FPS,
        codec='libx264',
        pix_fmt_out='yuv420p',  # what browsers and phones can decode
        output_params=_OPTIONS,
        ffmpeg_log_level='error',
    )
    writer.send(None)
    for now in range(painter.begin, painter.end, _PERIOD):
        writer.send(painter.paint(now))
    last = painter.paint(painter.end)
    for _ in range(_LAST_FRAMES):
        writer.send(last)
    writer.close()
