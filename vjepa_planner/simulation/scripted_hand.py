# SPDX-License-Identifier: Apache-2.0
"""Moves that pick and place by knowing where everything is: for making data and checking tasks.

Privileged: positions come from the simulator, not from an image. Nothing that is evaluated may use
this; it explores for training data, and proves that the tasks can be solved with the actions that
a planner has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.simulation.franka import FrankaSimulation
from vjepa_planner.simulation.scene import CUP_HEIGHT, FINGER_REACH, GRASP_HEIGHT
from vjepa_planner.types import ACTION_DIM

Float64Array = npt.NDArray[np.float64]

_MARGIN = 0.01  # [m] by which fingers and carried objects pass over what stands there
CLEAR_HEIGHT = CUP_HEIGHT + FINGER_REACH + _MARGIN
"""Height of the tool centre point at which the fingers pass over every object [m]."""

_TOLERANCE = 0.006  # [m] per axis; an open gripper is 7 mm wider than a cup on either side
_NEARLY_OVER = 0.03  # [m] per axis from its place, within which an object comes down aslant
_OPEN = 0.1  # closedness below which every object fits between the fingers
MAX_TRANSLATION = 0.075
"""Largest displacement of one step along each axis [m], as in the paper."""

MAX_GRIPPER_DELTA = 1.0
"""Largest change of closedness in one step: from open to closed."""


class ScriptedHand:
    """Returns the next action of a move from what the simulator's state is at that moment.

    It remembers nothing: after noise or a drop the next action begins from where things are then.
    """

    def __init__(self, simulation: FrankaSimulation, limit: float = MAX_TRANSLATION) -> None:
        """Move the hand of ``simulation`` by at most ``limit`` [m] along each axis in one step."""
        self._simulation, self._limit = simulation, limit

    def move(self, target: npt.ArrayLike, gripper: float = 0.0) -> Float64Array:
        """Return the action straight towards a position.

        Args:
            target: Of the tool centre point in the base frame, shape (3,) [m].
            gripper: Change of closedness.
        """
        action = np.zeros(ACTION_DIM)
        missing = np.asarray(target, np.float64) - self._simulation.state()[:3]
        action[:3] = np.clip(missing, -self._limit, self._limit)
        action[6] = np.clip(gripper, -MAX_GRIPPER_DELTA, MAX_GRIPPER_DELTA)
        return action

    def travel(self, target: npt.ArrayLike, height: float, gripper: float = 0.0) -> Float64Array:
        """Return the action towards a position: up to ``height`` [m], across, and down to it."""
        target = np.asarray(target, np.float64)
        here = self._simulation.state()[:3]
        if np.abs(target[:2] - here[:2]).max() <= _TOLERANCE:
            return self.move(target, gripper)
        if here[2] < height - _MARGIN:
            return self.move([*here[:2], height], gripper)
        return self.move([*target[:2], max(target[2], height)], gripper)

    def is_at(self, target: npt.ArrayLike) -> bool:
        """Return whether the tool centre point is at a position, shape (3,) [m]."""
        return bool(np.abs(self._simulation.state()[:3] - np.asarray(target)).max() <= _TOLERANCE)

    def grasp(self, name: str, offset: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Float64Array:
        """Return the action towards having an object between the fingers: zero if it is there.

        Args:
            name: Of the object.
            offset: By which to miss where it is best grasped, shape (3,) [m].
        """
        objects = self._simulation.objects
        if objects.is_between_fingers(name):
            return np.zeros(ACTION_DIM)
        around = np.array([*objects.position(name)[:2], GRASP_HEIGHT[name]]) + offset
        if self.is_at(around):
            return self.move(around, MAX_GRIPPER_DELTA)
        opening = -MAX_GRIPPER_DELTA if self._simulation.state()[6] > _OPEN else 0.0
        return self.travel(around, CLEAR_HEIGHT, opening)

    def carry(self, name: str, target: npt.ArrayLike) -> Float64Array:
        """Return the action towards a position [m] with an object that must pass over others."""
        return self.travel(target, CLEAR_HEIGHT + GRASP_HEIGHT[name])

    def put_down(self, name: str, place: npt.ArrayLike) -> Float64Array:
        """Return the action that puts a held object on the table, opens, and moves up.

        Args:
            name: Of the object.
            place: Where its origin shall be, x y [m].
        """
        place = np.asarray(place, np.float64)[:2]
        offset = self._simulation.objects.position(name)[:2] - place
        here = self._simulation.state()[:3]
        if not self._simulation.objects.touching_fingers(name):
            return self.move([*here[:2], CLEAR_HEIGHT])
        down = np.array([*(here[:2] - offset), GRASP_HEIGHT[name]])
        if np.abs(offset).max() <= _TOLERANCE and here[2] - down[2] <= _TOLERANCE:
            return self.move(here, -MAX_GRIPPER_DELTA)
        if np.abs(offset).max() <= _NEARLY_OVER:
            return self.move(down)
        return self.carry(name, down)
