# SPDX-License-Identifier: Apache-2.0
"""Pictures of one episode: camera and goal image, and below them energy and distance so far."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vjepa_planner.drawing import (
    Color,
    Curve,
    draw_curve,
    draw_panel,
    enlarged,
    Panel,
    write_text,
)
from vjepa_planner.evaluation.run import Episode
from vjepa_planner.types import Image

PICTURE_RATE = 2.0
"""Actions per second of a video."""

_LAST_PICTURES = 4  # that show the end
_VIEW = 320  # [px] width and height of a view
_GAP, _TOP, _STRIP = 16, 48, 96  # [px]

WIDTH = 2 * _VIEW + 3 * _GAP
HEIGHT = _TOP + _VIEW + 3 * _GAP + _STRIP
_PANEL = Panel(_GAP, _TOP + _VIEW + _GAP, WIDTH - 2 * _GAP, _STRIP)
_BACKGROUND = 250
_TEXT: Color = (40, 40, 40)
_ENERGY: Color = (31, 119, 180)
_DISTANCE: Color = (214, 110, 10)
_SUCCESS: Color = (20, 130, 50)
_FAILURE: Color = (190, 30, 30)
_HEADROOM = 1.3  # of the panel above the largest value, for the legend


def episode_pictures(episode: Episode, title: str) -> Iterator[Image]:
    """Yield one picture per look, uint8 RGB of shape (HEIGHT, WIDTH, 3), and the last one longer.

    Args:
        episode: What is shown.
        title: Stands above.
    """
    last = len(episode.images) - 1
    picture = np.empty(0, np.uint8)
    for index in range(last + 1):
        picture = _paint(episode, title, index)
        yield picture
    for _ in range(_LAST_PICTURES):
        yield picture


def _paint(episode: Episode, title: str, index: int) -> Image:
    """Return the picture after ``index`` actions."""
    result, last = episode.result, len(episode.images) - 1
    picture = np.full((HEIGHT, WIDTH, 3), _BACKGROUND, np.uint8)
    part = result.sub_goals[min(index, last - 1)]
    sub_goal = episode.goal.sub_goals[part]
    views = (_GAP, episode.images[index]), (2 * _GAP + _VIEW, sub_goal.image)
    for left, image in views:
        picture[_TOP : _TOP + _VIEW, left : left + _VIEW] = enlarged(image, _VIEW)
    write_text(picture, f'{title}   action {index}/{last}', _TEXT, (_GAP, _TOP - 16))
    goal = f'goal {part + 1} of {len(episode.goal.sub_goals)}: {sub_goal.name}'
    write_text(picture, goal, _TEXT, (2 * _GAP + _VIEW, _TOP - 16))
    if index == last:
        text, color = ('success', _SUCCESS) if result.success else ('failure', _FAILURE)
        write_text(picture, text, color, (WIDTH - 80, _TOP - 16))
    _paint_curves(picture, episode, index)
    return picture


def _paint_curves(picture: Image, episode: Episode, index: int) -> None:
    result, last = episode.result, len(episode.images) - 1
    switches = [i / last for i in range(1, last) if np.diff(result.sub_goals)[i - 1]]
    draw_panel(picture, _PANEL, switches)
    energy, distance = (_curve(values, last, color) for values, color in (
        (result.energies, _ENERGY), (result.distances, _DISTANCE),
    ))  # fmt: skip
    for curve in (distance, energy):
        draw_curve(picture, _PANEL, curve, index / last, dots=True)
    row = _PANEL.top + 16
    present = result.energies[min(index, last - 1)]
    write_text(picture, f'energy {present:.3f}', _ENERGY, (_GAP + 8, row))
    text = f'distance {result.distances[index] * 100:.1f} cm'
    write_text(picture, text, _DISTANCE, (_GAP + 150, row))


def _curve(values: tuple[float, ...], last: int, color: Color) -> Curve:
    heights: npt.NDArray[np.float64] = np.array(values) / (_HEADROOM * max(*values, 1e-9))
    return Curve(np.arange(len(values)) / last, heights, color)
