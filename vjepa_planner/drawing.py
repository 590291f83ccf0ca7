# SPDX-License-Identifier: Apache-2.0
"""Curves that grow with time, enlarged views and text, drawn into an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vjepa_planner.types import Image

Color = tuple[int, int, int]

_SUBPIXEL_BITS = 4  # of the coordinates of cv2's lines
_FRAME: Color = (200, 200, 200)


class Curve(NamedTuple):
    """A curve over time.

    Attributes:
        times: Rising, shape (n,); 0 is the left edge of the panel and 1 the right one.
        heights: Shape (n,); 0 is its lower edge and 1 the upper one.
        color: RGB.
    """

    times: npt.NDArray[np.float64]
    heights: npt.NDArray[np.float64]
    color: Color


class Panel(NamedTuple):
    """A rectangle of an image [px]."""

    left: int
    top: int
    width: int
    height: int

    def point(self, time: float, height: float) -> tuple[int, int]:
        """Return the pixel (column, row) of a point of a curve."""
        return (
            self.left + round(time * self.width),
            self.top + self.height - round(height * self.height),
        )


def draw_panel(picture: Image, panel: Panel, marks: Sequence[float]) -> None:
    """Draw the frame of a panel, and a vertical line at each of the times ``marks``."""
    cv2.rectangle(picture, panel.point(0, 1), panel.point(1, 0), _FRAME, 1)
    for mark in marks:
        cv2.line(picture, panel.point(mark, 0), panel.point(mark, 1), (0, 0, 0), 1)


def draw_level(picture: Image, panel: Panel, height: float, color: Color) -> None:
    """Draw a thin horizontal line."""
    cv2.line(picture, panel.point(0, height), panel.point(1, height), color, 1)


def draw_curve(picture: Image, panel: Panel, curve: Curve, now: float, *, dots: bool) -> None:
    """Draw a curve up to the time ``now``, with a dot at each of its points if asked to."""
    past = curve.times <= now
    scale = np.array([panel.width, -panel.height])
    points = np.stack([curve.times[past], curve.heights[past]], axis=1) * scale
    points += [panel.left, panel.top + panel.height]
    fixed = np.rint(points * 2**_SUBPIXEL_BITS).astype(np.int32)
    if len(fixed) > 1:
        cv2.polylines(
            picture, [fixed[:, None]], False, curve.color, 2, cv2.LINE_AA, _SUBPIXEL_BITS
        )
    if dots:
        for point in fixed:
            center = (int(point[0]), int(point[1]))
            radius = 3 << _SUBPIXEL_BITS
            cv2.circle(picture, center, radius, curve.color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def enlarged(image: Image, size: int) -> Image:
    """Return an image at the size of a square view [px]."""
    view = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(view, np.uint8)


def write_text(picture: Image, text: str, color: Color, corner: tuple[int, int]) -> None:
    """Write a line whose lower left corner is at (column, row) [px]."""
    cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
