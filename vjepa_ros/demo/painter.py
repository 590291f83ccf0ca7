# SPDX-License-Identifier: Apache-2.0
"""Pictures of the episode: camera and goal image, and below them energy and distance so far."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from vjepa_planner.drawing import (
    Color,
    Curve,
    draw_curve,
    draw_level,
    draw_panel,
    enlarged,
    Panel,
    write_text,
)
from vjepa_planner.evaluation.criteria import SUCCESS_DISTANCE
from vjepa_planner.types import Image
from vjepa_ros.demo.pursuit import Pursuit
from vjepa_ros.demo.recording import Recording

_VIEW = 384  # [px] width and height of a view
_GAP = 16  # [px]
_TOP = 48  # [px] for the captions
_STRIP = 128  # [px] height of the curves

WIDTH = 2 * _VIEW + 3 * _GAP  # [px] sizes are multiples of 16, as encoders like it
HEIGHT = _TOP + _VIEW + _GAP + _STRIP + 2 * _GAP

_PANEL = Panel(_GAP, _TOP + _VIEW + _GAP, WIDTH - 2 * _GAP, _STRIP)
_BACKGROUND = 250
_TEXT: Color = (40, 40, 40)
_ENERGY: Color = (31, 119, 180)
_DISTANCE: Color = (214, 110, 10)
_REACHED: Color = (20, 130, 50)
_HEADROOM = 1.3  # of the panel above the largest value, for the legend
_SAMPLES = 600  # of the distance, over the whole episode


class Painter:
    """Paints the episode as it was at a given time.

    Attributes:
        begin: When the first goal was set [ns].
        end: When the outcome of the last one was known [ns].
    """

    def __init__(
        self, recording: Recording, pursuits: Sequence[Pursuit], goal_images: Sequence[Image]
    ) -> None:
        """Prepare what does not change.

        Args:
            recording: What was seen and measured.
            pursuits: One per goal, all ended.
            goal_images: One per goal, uint8 RGB.
        """
        self.begin, self.end = pursuits[0].begin, pursuits[-1].end or pursuits[-1].begin
        self._recording = recording
        self._frame_stamps = [frame.stamp for frame in recording.frames]
        self._pursuits = pursuits
        self._goal_views = [enlarged(image, _VIEW) for image in goal_images]
        steps = [step for pursuit in pursuits for step in pursuit.steps]
        self._energy_top = _HEADROOM * max(step.energy for step in steps)
        self._energies = [self._energy_curve(pursuit) for pursuit in pursuits]
        distances = list(self._distances())
        self._distance_top = _HEADROOM * max(max(values) for _, values in distances)
        self._distance_curves = [
            Curve(self._fractions(times), np.array(values) / self._distance_top, _DISTANCE)
            for times, values in distances
        ]

    def paint(self, now: int) -> Image:
        """Return the picture of a time [ns], uint8 RGB of shape (HEIGHT, WIDTH, 3)."""
        picture = np.full((HEIGHT, WIDTH, 3), _BACKGROUND, np.uint8)
        index = max(0, bisect_right([pursuit.begin for pursuit in self._pursuits], now) - 1)
        self._paint_camera(picture, now)
        left = 2 * _GAP + _VIEW
        picture[_TOP : _TOP + _VIEW, left : left + _VIEW] = self._goal_views[index]
        self._paint_captions(picture, self._pursuits[index], now)
        self._paint_curves(picture, now)
        return picture

    def _paint_camera(self, picture: Image, now: int) -> None:
        if self._frame_stamps:
            frame = max(0, bisect_right(self._frame_stamps, now) - 1)
            view = enlarged(self._recording.frames[frame].image(), _VIEW)
            picture[_TOP : _TOP + _VIEW, _GAP : _GAP + _VIEW] = view

    def _paint_captions(self, picture: Image, pursuit: Pursuit, now: int) -> None:
        seconds = (now - self.begin) / 1e9
        write_text(picture, f'camera   {seconds:.1f} s', _TEXT, (_GAP, _TOP - 16))
        goal = f'goal {pursuit.number}, given as {pursuit.given_as}'
        write_text(picture, goal, _TEXT, (2 * _GAP + _VIEW, _TOP - 16))
        if now >= (pursuit.end or self.end):
            write_text(picture, *_verdict(pursuit), (WIDTH - 120, _TOP - 16))

    def _paint_curves(self, picture: Image, now: int) -> None:
        draw_panel(picture, _PANEL, [self._fraction(p.begin) for p in self._pursuits[1:]])
        draw_level(picture, _PANEL, SUCCESS_DISTANCE / self._distance_top, _DISTANCE)
        moment = self._fraction(now)
        for curve in self._distance_curves:
            draw_curve(picture, _PANEL, curve, moment, dots=False)
        for curve in self._energies:
            draw_curve(picture, _PANEL, curve, moment, dots=True)
        self._paint_legend(picture, now)

    def _paint_legend(self, picture: Image, now: int) -> None:
        for ended in (p for p in self._pursuits if p.end is not None and p.end <= now):
            corner = _PANEL.point(self._fraction(ended.begin), 0)
            text, color = _verdict(ended)
            text = f'goal {ended.number} {text}'
            write_text(picture, text, color, (corner[0] + 8, corner[1] - 8))
        legend = _PANEL.top + 18
        pursuit = next((p for p in reversed(self._pursuits) if p.begin <= now), self._pursuits[0])
        energies = [step.energy for step in pursuit.steps if step.stamp <= now]
        if energies:
            write_text(picture, f'energy {energies[-1]:.3f}', _ENERGY, (_GAP + 8, legend))
        position = self._recording.position_at(now)
        if position is not None:
            text = f'distance {pursuit.distance(position) * 100:.1f} cm'
            write_text(picture, text, _DISTANCE, (_GAP + 150, legend))

    # -- curves --------------------------------------------------------------------------------

    def _fraction(self, stamp: int) -> float:
        return (stamp - self.begin) / max(1, self.end - self.begin)

    def _fractions(self, stamps: Sequence[int]) -> np.ndarray:
        return np.array([self._fraction(stamp) for stamp in stamps])

    def _energy_curve(self, pursuit: Pursuit) -> Curve:
        # The first plan may be from an image that is a little older than the goal.
        times = self._fractions([max(step.stamp, pursuit.begin) for step in pursuit.steps])
        energies = np.array([step.energy for step in pursuit.steps])
        return Curve(times, energies / self._energy_top, _ENERGY)

    def _distances(self) -> Iterator[tuple[list[int], list[float]]]:
        """Yield for each goal the times [ns] and the distances to it [m] while it was in force."""
        period = max(1, (self.end - self.begin) // _SAMPLES)
        for pursuit in self._pursuits:
            times = list(range(pursuit.begin, pursuit.end or self.end, period))
            positions = [self._recording.position_at(time) for time in times]
            known = [
                (time, pursuit.distance(position))
                for time, position in zip(times, positions, strict=True)
                if position is not None
            ]
            yield [time for time, _ in known], [distance for _, distance in known]


def _verdict(pursuit: Pursuit) -> tuple[str, Color]:
    """Return the outcome in words, and their colour."""
    return ('reached', _REACHED) if pursuit.outcome else ('not reached', _DISTANCE)
