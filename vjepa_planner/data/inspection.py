# SPDX-License-Identifier: Apache-2.0
"""What is in recordings, and what looks wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.lerobot_format import ACTION_NAMES, STATE_NAMES
from vjepa_planner.data.readers import Source, UnreadableRecordingError
from vjepa_planner.data.readers.lerobot import LeRobotSource

Value = TypeVar('Value')

Float64Array = npt.NDArray[np.float64]

MAX_STEP_LENGTH = 0.3
"""A step of the arm longer than this is a jump [m]; those of DROID reach 0.13 m in a second."""
MAX_STEP_ANGLE = 1.5
"""A step that turns by more than this is a jump [rad]."""
MAX_REACH = 2.0
"""No arm of this kind has its end effector further from its base [m]; a Franka reaches 0.855."""
MAX_ANGLE = 2 * np.pi + 0.01
"""Euler angles beyond this are no radians [rad]."""

_MOVED = 0.01  # [m] in one step: the image must have changed
_CLOSEDNESS_TOLERANCE = 0.02
_CLOCK_TOLERANCE = 0.1  # of a step
_STILL = 0.005  # [m] an arm that moves less than this in all steps together does not move


@dataclass
class Finding:
    """Something that looks wrong.

    Attributes:
        what: In words, with what to do about it.
        count: How often it was found.
        first: Where it was found first.
    """

    what: str
    count: int
    first: str


@dataclass
class Inspection:
    """What is in recordings.

    Attributes:
        recordings: How many were looked at.
        episodes: How many episodes they give.
        frames: How many frames these have.
        shortest: Frames of the shortest episode.
        longest: Frames of the longest one.
        cameras: Names of the cameras that were read.
        images: Sizes of their images, as WIDTHxHEIGHT.
        step_durations: Times between frames [s].
        state_min: Smallest numbers of the states, shape (7,).
        state_max: Largest ones.
        action_min: Smallest numbers of the actions, shape (7,).
        action_max: Largest ones.
        findings: What looks wrong.
    """

    recordings: int = 0
    episodes: int = 0
    frames: int = 0
    shortest: int = 0
    longest: int = 0
    cameras: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    step_durations: list[float] = field(default_factory=list)
    state_min: list[float] = field(default_factory=list)
    state_max: list[float] = field(default_factory=list)
    action_min: list[float] = field(default_factory=list)
    action_max: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, what: str, where: str, count: int = 1) -> None:
        """Add to a finding, or begin one."""
        for finding in self.findings:
            if finding.what == what:
                finding.count += count
                return
        self.findings.append(Finding(what, count, where))

    def table(self) -> list[str]:
        """Return the lines that a person reads."""
        lines = [
            f'episodes        {self.episodes} of {self.recordings} recordings',
            f'frames          {self.frames}, {self.shortest} to {self.longest} per episode',
            f'camera          {", ".join(self.cameras)}: {", ".join(self.images)} px',
            f'step            {", ".join(f"{step:.4g} s" for step in self.step_durations)}',
            f'{"state":<14}{"min":>10}{"max":>10}    {"action":<14}{"min":>10}{"max":>10}',
        ]
        for i, (state, action) in enumerate(zip(STATE_NAMES, ACTION_NAMES, strict=True)):
            lines.append(
                f'  {state:<12}{self.state_min[i]:>10.4f}{self.state_max[i]:>10.4f}    '
                f'  {action:<12}{self.action_min[i]:>10.4f}{self.action_max[i]:>10.4f}'
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def inspect(source: Source) -> Iterator[Inspection]:
    """Look at every recording of a source.

    Args:
        source: What to look at.

    Yields:
        What is known after each recording.
    """
    report = Inspection()
    for index in range(len(source)):
        report.recordings += 1
        try:
            episodes = source.read(index)
            if isinstance(source, LeRobotSource):
                _check_clock(report, source, index)
        except UnreadableRecordingError as error:
            report.find('recordings that cannot be read', str(error))
        else:
            # A recording that was made from a seed is a shard of many.
            if len(episodes) > 1 and episodes[0].seed is None:
                report.find('recordings with gaps, which cut them', source.name(index))
            for episode in episodes:
                _take(report, episode, f'recording {index} ({source.name(index)})')
        yield report


def _take(report: Inspection, episode: Episode, where: str) -> None:
    length = len(episode)
    report.shortest = min(report.shortest, length) if report.episodes else length
    report.longest = max(report.longest, length)
    report.episodes += 1
    report.frames += length
    height, width = episode.images.shape[1:3]
    _add(report.cameras, episode.camera)
    _add(report.images, f'{width}x{height}')
    _add(report.step_durations, round(episode.step_duration, 6))
    if not np.isfinite(episode.states).all():
        report.find('episodes with states that are NaN or infinite', where)
        return
    states, actions = episode.states.astype(np.float64), episode.actions().astype(np.float64)
    report.state_min = _extreme(np.minimum, report.state_min, states)
    report.state_max = _extreme(np.maximum, report.state_max, states)
    report.action_min = _extreme(np.minimum, report.action_min, actions)
    report.action_max = _extreme(np.maximum, report.action_max, actions)
    _check_units(report, states, where)
    _check_motion(report, episode.images, states, actions, where)


def _add(seen: list[Value], value: Value) -> None:
    if value not in seen:
        seen.append(value)


def _extreme(function: np.ufunc, present: Sequence[float], values: Float64Array) -> list[float]:
    extreme = function.reduce(values, axis=0)
    result: list[float] = (function(extreme, present) if present else extreme).tolist()
    return result


def _check_units(report: Inspection, states: Float64Array, where: str) -> None:
    if np.abs(states[:, :3]).max() > MAX_REACH:
        report.find(
            f'episodes with positions beyond {MAX_REACH:g} m: millimetres? another frame? '
            '(--set length_unit=\'"mm"\')',
            where,
        )
    if np.abs(states[:, 3:6]).max() > MAX_ANGLE:
        report.find(
            'episodes with angles beyond 2 pi: degrees? (--set angle_unit=\'"deg"\')', where
        )
    low, high = states[:, 6].min(), states[:, 6].max()
    if low < -_CLOSEDNESS_TOLERANCE or high > 1 + _CLOSEDNESS_TOLERANCE:
        report.find(
            'episodes with closedness outside 0..1: a width? (--set gripper_open=0.08 --set '
            'gripper_closed=0)',
            where,
        )


def _check_motion(
    report: Inspection,
    images: npt.NDArray[np.uint8],
    states: Float64Array,
    actions: Float64Array,
    where: str,
) -> None:
    lengths = np.linalg.norm(actions[:, :3], axis=1)
    angles = np.linalg.norm(actions[:, 3:6], axis=1)
    if len(states) < 2:
        report.find('episodes of a single frame, useless for training', where)
    elif lengths.sum() < _STILL and np.ptp(states[:, 6]) < _CLOSEDNESS_TOLERANCE:
        report.find('episodes in which the arm does not move', where)
    jumps = (lengths > MAX_STEP_LENGTH) | (angles > MAX_STEP_ANGLE)
    if jumps.any():
        report.find(
            f'jumps of more than {MAX_STEP_LENGTH:g} m or {MAX_STEP_ANGLE:g} rad in one step',
            f'{where}, frame {int(np.argmax(jumps))}',
            int(jumps.sum()),
        )
    frozen = (images[1:] == images[:-1]).all(axis=(1, 2, 3)) & (lengths[:-1] > _MOVED)
    if frozen.any():
        report.find(
            'frozen images: the arm moves, but the image stays the same',
            f'{where}, frame {int(np.argmax(frozen)) + 1}',
            int(frozen.sum()),
        )


def _check_clock(report: Inspection, source: LeRobotSource, index: int) -> None:
    steps = np.diff(source.times(index))
    expected = source.dataset.step_duration
    late = np.abs(steps - expected) > _CLOCK_TOLERANCE * expected
    if late.any():
        place = int(np.argmax(late))
        kind = (
            'time stamps that stand still or go back' if (steps <= 0).any() else 'missing frames'
        )
        report.find(
            f'{kind}: steps are not {expected:.4g} s',
            f'recording {index}, frame {place + 1}: {steps[place]:.4g} s',
            int(late.sum()),
        )
