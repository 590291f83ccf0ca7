# SPDX-License-Identifier: Apache-2.0
"""How the arm explores while episodes are recorded.

Data for a world model must show what actions do, so no action may be predictable from the image:
every phase has noise, actions that are too short, and some that are simply random. The workspace
is the part that the camera sees, since what happens out of view teaches nothing.

The explorations know where objects are: they make data, and nobody is evaluated by them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import (
    FrankaSimulation,
    GRASPABLE,
    PLATE,
    staging,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)
from vjepa_planner.simulation.scene import GRASP_HEIGHT
from vjepa_planner.simulation.scripted_hand import CLEAR_HEIGHT, MAX_GRIPPER_DELTA, ScriptedHand
from vjepa_planner.types import ACTION_DIM

Float64Array = npt.NDArray[np.float64]

_RANDOM_ACTION_PROBABILITY = 0.35
_GRIPPER_TOGGLE_PROBABILITY = 0.12
_WAYPOINT_NOISE = 0.02  # [m]


class Exploration(ABC):
    """Explores one episode.

    Attributes:
        phase: What the last action was for.
    """

    def __init__(
        self, simulation: FrankaSimulation, max_translation: float, rng: np.random.Generator
    ) -> None:
        """Put the scene, reset already, into a start state.

        Args:
            simulation: Explored.
            max_translation: Largest displacement of one action along each axis [m].
            rng: The only source of randomness.
        """
        self.phase = 'start'
        self._simulation, self._limit, self._rng = simulation, max_translation, rng

    @abstractmethod
    def act(self) -> Float64Array:
        """Return the next action, shape (7,)."""

    def _draw_place(self) -> Float64Array:
        return self._rng.uniform(WORKSPACE_MIN, WORKSPACE_MAX)


class ReachExploration(Exploration):
    """Moves to random places of the workspace; the gripper opens and closes now and then."""

    def __init__(
        self, simulation: FrankaSimulation, max_translation: float, rng: np.random.Generator
    ) -> None:
        """Begin anywhere; see :class:`Exploration`."""
        super().__init__(simulation, max_translation, rng)
        width = rng.choice([0.0, 0.5, 1.0]) * fr3.MAX_GRIPPER_WIDTH
        simulation.place_end_effector_randomly(rng, width)
        self._waypoint = self._draw_place()

    def act(self) -> Float64Array:
        """Return an action towards the waypoint with noise, or a random one."""
        rng, limit, here = self._rng, self._limit, self._simulation.state()[:3]
        self.phase = 'reach'
        if np.linalg.norm(self._waypoint - here) < 2 * _WAYPOINT_NOISE:
            self._waypoint = self._draw_place()
        action = np.zeros(ACTION_DIM)
        if rng.random() < _RANDOM_ACTION_PROBABILITY:
            action[:3] = rng.uniform(-limit, limit, 3)
        else:
            towards = self._waypoint - here + rng.normal(0.0, _WAYPOINT_NOISE, 3)
            action[:3] = np.clip(towards * rng.uniform(0.4, 1.0), -limit, limit)
        if rng.random() < _GRIPPER_TOGGLE_PROBABILITY:
            action[6] = rng.uniform(-1.0, 1.0)
        return action


# Of ObjectsExploration.
_STARTS = {'anywhere': 0.25, 'near': 0.2, 'around': 0.2, 'holding': 0.15, 'over plate': 0.2}
_EMPTY_PHASES = {'reach': 0.3, 'approach': 0.15, 'grasp': 0.55}
_HOLDING_PHASES = {'carry': 0.35, 'place': 0.5, 'release': 0.15}
_OVER_PLATE = 0.01, 0.1  # [m] from the foot of a held object to the plate
_PHASE_ACTIONS = 8  # at most, until the next phase is drawn
_REACHABLE_PROBABILITY = 0.85  # of objects that the hand can be around
_REACHABLE_EDGE = 0.02  # [m]
_OBJECT_DISTANCE = 0.14  # [m]
_NEAR = 0.05  # [m] standard deviation of a pose near an object
_AROUND = 0.008  # [m] standard deviation of a start pose with an object between open fingers
_PLATE_PROBABILITY = 0.7  # of putting an object down on the plate and not elsewhere
_MISS_PROBABILITY = 0.25
_MISS_DISTANCE = 0.03  # [m] standard deviation of a grasp that is to miss
_JITTER = 0.012  # [m] standard deviation of the noise on every action ...
_FINE_JITTER = 0.003  # [m] ... but where fingers pass beside an object
_FINE_DISTANCE = 0.03  # [m] across from there, within which they do
_RANDOM_ACTIONS = 0.12  # share, in every phase
_RANDOM_GRIPPER = 0.08  # share, in every phase, of gripper commands out of the blue
_EMPTY_CLOSEDNESS = 0.6  # above, the fingers have missed every object
_SHORTEST = 0.6  # of an action that falls short
_WEAKEST = 0.4  # of a gripper command
_ACROSS = np.array([1.0, 1.0, 0.0])
_ABOVE = np.array([0.0, 0.0, CLEAR_HEIGHT])  # [m] here open fingers pass over an object


class ObjectsExploration(Exploration):
    """Reaches, approaches, grasps and misses, carries, drops and puts down cup and box."""

    def __init__(
        self, simulation: FrankaSimulation, max_translation: float, rng: np.random.Generator
    ) -> None:
        """Begin anywhere, near an object, or with one in the hand; see :class:`Exploration`."""
        super().__init__(simulation, max_translation, rng)
        self._hand = ScriptedHand(simulation, max_translation)
        if rng.random() < _REACHABLE_PROBABILITY:
            low, high = WORKSPACE_MIN[:2] + _REACHABLE_EDGE, WORKSPACE_MAX[:2] - _REACHABLE_EDGE
            simulation.objects.scatter(rng, low, high, _OBJECT_DISTANCE)
        width = rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.2, 0.5]) * fr3.MAX_GRIPPER_WIDTH
        simulation.place_end_effector_randomly(rng, width)
        self._object = str(rng.choice(GRASPABLE))
        self._start(_choose(rng, _STARTS))
        self._next_phase()

    def act(self) -> Float64Array:
        """Return an action of the phase with noise, or a random one."""
        if self._actions_left == 0 or self._is_over():
            self._next_phase()
        self._actions_left -= 1
        rng, limit = self._rng, self._limit
        if rng.random() < _RANDOM_ACTIONS:
            action = np.zeros(ACTION_DIM)
            action[:3] = rng.uniform(-limit, limit, 3)
        else:
            action = self._noisy(self._wanted())
        if rng.random() < _RANDOM_GRIPPER:
            action[6] = rng.uniform(-1.0, 1.0)
        return action

    # -- starts and phases ---------------------------------------------------------------------

    def _start(self, kind: str) -> None:
        simulation, rng = self._simulation, self._rng
        place, euler = simulation.objects.position(self._object), simulation.state()[3:6]
        if kind == 'near':
            above = place + _ABOVE + rng.normal(0.0, _NEAR, 3)
            above = np.clip(above, [*WORKSPACE_MIN[:2], CLEAR_HEIGHT], WORKSPACE_MAX)
            simulation.place_end_effector(above, euler)
        elif kind == 'around':
            around = place + rng.normal(0.0, _AROUND, 3)
            around[2] = GRASP_HEIGHT[self._object]
            simulation.place_end_effector(around, euler, fr3.MAX_GRIPPER_WIDTH)
        elif kind in ('holding', 'over plate'):
            staging.grasp(simulation, self._object)
            staging.carry(simulation, self._object, self._draw_free_place(kind))

    def _draw_free_place(self, kind: str) -> Float64Array:
        """Return a place of the hand, shape (3,) [m], where what it holds touches nothing."""
        grasp_height = GRASP_HEIGHT[self._object]
        place = self._draw_place()
        place[2] = max(place[2], CLEAR_HEIGHT + grasp_height)
        if kind == 'over plate':
            plate = self._simulation.objects.position(PLATE)
            lifted = grasp_height + self._rng.uniform(*_OVER_PLATE)
            place = np.clip([*plate[:2], lifted], WORKSPACE_MIN, WORKSPACE_MAX)
        return place

    def _next_phase(self) -> None:
        """Draw what is done next from what is in the hand."""
        rng, objects = self._rng, self._simulation.objects
        held = [name for name in GRASPABLE if objects.is_between_fingers(name)]
        self._object = held[0] if held else str(rng.choice(GRASPABLE))
        self.phase = _choose(rng, _HOLDING_PHASES if held else _EMPTY_PHASES)
        self._actions_left = _PHASE_ACTIONS
        self._target = self._draw_place()
        if self.phase == 'approach':
            near = objects.position(self._object) + rng.normal(0.0, _NEAR, 3)
            self._target = near + _ABOVE
        elif self.phase == 'place' and rng.random() < _PLATE_PROBABILITY:
            self._target = objects.position(PLATE)
        misses = self.phase == 'grasp' and rng.random() < _MISS_PROBABILITY
        self._miss = rng.normal(0.0, _MISS_DISTANCE, 3) * _ACROSS if misses else np.zeros(3)

    def _is_over(self) -> bool:
        held = self._simulation.objects.is_between_fingers(self._object)
        if self.phase in _EMPTY_PHASES:
            if self.phase == 'grasp':
                return held or self._simulation.state()[6] > _EMPTY_CLOSEDNESS
            return held or self._is_near(self._target)
        return not held or (self.phase == 'carry' and self._is_near(self._target))

    def _is_near(self, target: Float64Array) -> bool:
        return bool(np.linalg.norm(self._simulation.state()[:3] - target) < 2 * _WAYPOINT_NOISE)

    # -- actions -------------------------------------------------------------------------------

    def _wanted(self) -> Float64Array:
        """Return the action that the phase would take without noise."""
        hand = self._hand
        if self.phase == 'grasp':
            return hand.grasp(self._object, self._miss)
        if self.phase == 'place':
            return hand.put_down(self._object, self._target)
        if self.phase == 'release':
            return hand.move(self._simulation.state()[:3], -MAX_GRIPPER_DELTA)
        return hand.move(self._target)

    def _noisy(self, wanted: Float64Array) -> Float64Array:
        """Return the action, shorter and beside its end; less so where millimetres count."""
        rng = self._rng
        fine = self.phase in ('grasp', 'place') and np.abs(wanted[:2]).max() < _FINE_DISTANCE
        action = wanted.copy()
        action[:3] *= 1.0 if fine else rng.uniform(_SHORTEST, 1.0)
        action[:3] += rng.normal(0.0, _FINE_JITTER if fine else _JITTER, 3)
        action[:3] = np.clip(action[:3], -self._limit, self._limit)
        action[6] *= rng.uniform(_WEAKEST, 1.0)
        return action


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """Return one of the names, each with its share of 1."""
    return str(rng.choice(list(shares), p=list(shares.values())))


_EXPLORATIONS = {'reach': ReachExploration, 'objects': ObjectsExploration}


def available_explorations() -> tuple[str, ...]:
    """Return the names of all explorations."""
    return tuple(_EXPLORATIONS)


def find_exploration(name: str) -> type[Exploration]:
    """Return a kind of exploration.

    Raises:
        UnknownNameError: There is no such one.
    """
    if name not in _EXPLORATIONS:
        raise UnknownNameError('exploration', name, available_explorations())
    return _EXPLORATIONS[name]
