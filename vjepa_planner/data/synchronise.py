# SPDX-License-Identifier: Apache-2.0
"""From messages of several sensors to steps of a fixed duration, by their time stamps.

Steps are images. The next one is the image closest to one step after the last one, so a camera
that is a little slow or fast does not drift away from a grid. Where no image is close enough the
episode ends and another one begins: nothing is made up. States are interpolated at the stamp of
the image, between the measurements before and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import quaternion_xyzw_to_euler

Float64Array = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]

SECOND = 1_000_000_000
MAX_STATE_GAP = 0.1
"""Measurements further than this from an image do not tell where the arm was [s]."""

_STEP_TOLERANCE = 0.25  # of the duration of a step


@dataclass(frozen=True)
class Measurements:
    """What one sensor measured.

    Attributes:
        stamps: Ascending, shape (count,) [ns].
        values: Shape (count, numbers).
    """

    stamps: Stamps
    values: Float64Array


@dataclass(frozen=True)
class Run:
    """Consecutive steps.

    Attributes:
        images: Which images they are, shape (steps,).
        states: States at these images, shape (steps, 7).
    """

    images: npt.NDArray[np.int64]
    states: npt.NDArray[np.float32]


def in_order(name: str, stamps: Sequence[int]) -> Stamps:
    """Return stamps as an array.

    Args:
        name: What they are the stamps of.
        stamps: As they came [ns].

    Raises:
        InvalidInputError: There are none, one is zero, or time goes back.
    """
    array = np.asarray(stamps, dtype=np.int64)
    if len(array) == 0:
        raise InvalidInputError(f'there are no messages of {name}.')
    if (array <= 0).any():
        raise InvalidInputError(
            f'{name} has messages without a stamp; their source must fill header.stamp.'
        )
    back = np.diff(array)
    if len(back) and back.min() < 0:
        place = int(np.argmin(back))
        raise InvalidInputError(
            f'the stamps of {name} go back by {-back[place] / SECOND:.3f} s after message '
            f'{place}: a clock was set, or two sources publish there.'
        )
    return array


def choose_steps(stamps: Stamps, step_duration: float) -> list[npt.NDArray[np.int64]]:
    """Return runs of indices of stamps that are one step apart.

    Args:
        stamps: Of the images, ascending [ns].
        step_duration: [s]

    Raises:
        InvalidInputError: Images come more slowly than steps.
    """
    step = round(step_duration * SECOND)
    tolerance = round(_STEP_TOLERANCE * step)
    runs, run = [], [0]
    while True:
        target = stamps[run[-1]] + step
        nearest = _nearest(stamps, target)
        if nearest > run[-1] and abs(stamps[nearest] - target) <= tolerance:
            run.append(nearest)
            continue
        runs.append(np.array(run))
        beyond = int(np.searchsorted(stamps, target))
        if beyond == len(stamps):
            break
        run = [beyond]
    if len(stamps) > 2 and all(len(run) == 1 for run in runs):
        period = float(np.median(np.diff(stamps))) / SECOND
        raise InvalidInputError(
            f'images come every {period:.3g} s, steps are to last {step_duration:g} s. Choose a '
            'longer step.'
        )
    return runs


def _nearest(stamps: Stamps, target: int) -> int:
    after = min(int(np.searchsorted(stamps, target)), len(stamps) - 1)
    before = max(after - 1, 0)
    return before if target - stamps[before] < stamps[after] - target else after


def interpolate(
    measured: Measurements, stamps: Stamps, max_gap: float
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return values at stamps, shape (len(stamps), numbers), and which of them can be relied on.

    Args:
        measured: Values and when they were measured.
        stamps: [ns]
        max_gap: Measurements further away than this do not count [s].
    """
    after = np.clip(np.searchsorted(measured.stamps, stamps), 0, len(measured.stamps) - 1)
    before = np.clip(after - 1, 0, None)
    exact = measured.stamps[after] <= stamps  # also past the last one
    before = np.where(exact, after, before)
    span = np.maximum(measured.stamps[after] - measured.stamps[before], 1)
    weight = np.clip((stamps - measured.stamps[before]) / span, 0.0, 1.0)[:, None]
    values = (1 - weight) * measured.values[before] + weight * measured.values[after]
    limit = round(max_gap * SECOND)
    near = [np.abs(measured.stamps[index] - stamps) <= limit for index in (before, after)]
    return values, near[0] & near[1]


def align(
    image_stamps: Stamps,
    poses: Measurements,
    closedness: Measurements,
    step_duration: float,
    max_gap: float = MAX_STATE_GAP,
) -> list[Run]:
    """Return the runs of steps of a recording.

    Args:
        image_stamps: Ascending [ns].
        poses: Position [m] and quaternion xyzw, shape (count, 7).
        closedness: Of the gripper, 0 open .. 1 closed, shape (count, 1).
        step_duration: [s]
        max_gap: Measurements further than this from an image do not count [s].

    Raises:
        InvalidInputError: Images come more slowly than steps.
    """
    poses = Measurements(poses.stamps, _continuous(poses.values))
    runs = []
    for indices in choose_steps(image_stamps, step_duration):
        stamps = image_stamps[indices]
        pose, pose_known = interpolate(poses, stamps, max_gap)
        grip, grip_known = interpolate(closedness, stamps, max_gap)
        known = pose_known & grip_known
        for part in np.split(np.arange(len(indices)), np.flatnonzero(np.diff(known)) + 1):
            if known[part[0]]:
                euler = quaternion_xyzw_to_euler(pose[part, 3:])
                states = np.hstack([pose[part, :3], euler, np.clip(grip[part], 0.0, 1.0)])
                runs.append(Run(indices[part], states.astype(np.float32)))
    return runs


def _continuous(poses: Float64Array) -> Float64Array:
    """Return poses whose quaternions do not change sign from one to the next."""
    quaternions = poses[:, 3:]
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    signs = np.concatenate([[1.0], np.cumprod(np.where(flips < 0, -1.0, 1.0))])
    return np.hstack([poses[:, :3], quaternions * signs[:, None]])
