# SPDX-License-Identifier: Apache-2.0
"""The video of the episode: how fast it is, and which pictures of the painter it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vjepa_planner.types import Image
from vjepa_planner.video_file import write_video
from vjepa_ros.demo.painter import Painter

SPEED = 2.0
"""Seconds of the episode per second of the video."""

_FPS = 10
_PERIOD = round(SPEED / _FPS * 1e9)  # [ns] of the episode between two frames
_LAST_FRAMES = 2 * _FPS  # that show the end


def write_episode(path: Path, painter: Painter) -> None:
    """Write an episode as MP4.

    Args:
        path: Of the video.
        painter: Of the episode.

    Raises:
        VideoError: ffmpeg fails.
    """
    write_video(path, _pictures(painter), _FPS)


def _pictures(painter: Painter) -> Iterator[Image]:
    """Yield the frames of the video."""
    for now in range(painter.begin, painter.end, _PERIOD):
        yield painter.paint(now)
    last = painter.paint(painter.end)
    for _ in range(_LAST_FRAMES):
        yield last
