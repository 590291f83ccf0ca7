# SPDX-License-Identifier: Apache-2.0
"""Approach from above: first over the place, then down to it, and only there the fingers.

A greedy planner goes straight to the pose in the goal image, and its fingers push what it is to
take. With a clearance height, one plan answers up to two questions with the same energy:

1. *the place*: where the hand should be, with the gripper as it is. If it is farther sideways than
   the alignment, the hand goes there at or above the clearance height; otherwise down to it.
2. *the fingers*: whether they close or open there, once the place is within one action's reach.

The search for the place looks below the clearance height even while the hand has to stay above
it. A camera that looks from the side shows a hand that is too high beside where it is: the lowest
energy *at one height* is where the hand hides the place from the camera, centimetres off.

What is found has to promise clearly less energy than staying, and else nothing moves: predictions
are not exact, and a hand that follows their noise pushes about what it has put in order. Fingers
that have closed or opened for a goal take it back only for a large promise.

Nothing here looks at anything but the energy, the height of the hand, and whether it is and was
open.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vjepa_planner.planners import Planner, PlannerResult
from vjepa_planner.planners.base import checked_energies, Evaluate, final_energy
from vjepa_planner.types import ACTION_DIM

Actions = npt.NDArray[np.float64]

IMPROVEMENT = 0.002
"""Energy by which an action has to promise less than staying does."""

CLOSING = 0.0005
"""The same for fingers that close: a wide object hardly looks different between closed ones."""

OPENING = 0.012
"""The same for fingers that open: a false promise drops what they hold."""

REVERSAL = 0.04
"""The same for fingers that take back what they did for this goal: it must have gone wrong."""

GRIP = 0.6
"""Smallest closing that is executed: fingers told less may touch an object and not hold it."""

_LOOK = 0.01  # [m] above the clearance height from which the hand comes to it, and looks again
_CLOSINGS = np.array([0.05, 0.1, 0.15, *np.linspace(0.2, 1.0, 9)])  # changes that are compared
_OPENINGS = -np.linspace(0.4, 1.0, 7)
_OPEN = 0.05  # closedness below which there is nothing to open
_HELD_ALIGNMENT = 0.025  # [m] when nothing can get under the fingers
_SIDEWAYS = slice(0, 2)
_TRANSLATION = slice(0, 3)
_UP = 2
_GRIPPER = 6
_AT_LIMIT = 0.99  # of the largest displacement: the place is farther than one action


def is_closed(closedness: float) -> bool:
    """Return whether fingers are closed, be it around an object, and not open."""
    return closedness > _OPEN


def plan_from_above(
    planner: Planner,
    evaluate: Evaluate,
    state: npt.NDArray[np.float64],
    rng: np.random.Generator,
    began_closed: bool | None = None,
) -> PlannerResult:
    """Search a plan that keeps to the clearance height of the planner's configuration.

    Without one (0) this is ``planner.plan(evaluate, rng)``.

    Args:
        planner: Searches.
        evaluate: Maps actions (S, T, 7) to energies (S,).
        state: Of the hand now, shape (7,); its height and closedness are used.
        rng: The only source of randomness.
        began_closed: Whether the fingers were closed when this goal was first pursued; if left
            out, they were as they are.

    Raises:
        PlanningError: ``evaluate`` gives no usable energies.
    """
    config = planner.config
    if config.clearance_height == 0.0:
        return planner.plan(evaluate, rng)

    place = _place(planner, evaluate, rng)
    actions = place.actions.copy()
    height, reach = state[_UP], np.abs(actions[0, _TRANSLATION])
    closed = is_closed(state[_GRIPPER])
    alignment = max(config.alignment, _HELD_ALIGNMENT) if closed else config.alignment
    is_over = reach[_SIDEWAYS].max() <= alignment
    goes_down = is_over and height <= config.clearance_height + _LOOK
    if not goes_down:
        actions = above(actions, height, config.clearance_height, config.max_translation)
    place = replace(
        place,
        actions=actions,
        energy=final_energy(evaluate, actions),
        evaluations=place.evaluations + 1,
    )
    arrives = reach.max() <= _AT_LIMIT * config.max_translation
    if goes_down and arrives:
        is_done = began_closed is not None and began_closed != closed
        return _fingers(evaluate, place, closed, is_done, config.max_gripper_delta)
    return place


def above(actions: Actions, height: float, clearance: float, limit: float) -> Actions:
    """Return actions (T, 7) that end at or above a height.

    Args:
        actions: Shape (T, 7).
        height: Of the hand before them [m].
        clearance: Where they may end [m]; below it, they rise by ``limit`` at most.
        limit: Largest displacement along an axis [m].
    """
    allowed = actions.copy()
    for action in allowed:
        action[_UP] = max(action[_UP], min(clearance - height, limit))
        height += action[_UP]
    return allowed


def _place(planner: Planner, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
    """Search where the hand should be, with the gripper as it is; it may be where it is."""

    def gripper_kept(actions: Actions) -> Actions:
        kept = actions.copy()
        kept[..., _GRIPPER] = 0.0
        return kept

    found = planner.plan(lambda actions: evaluate(gripper_kept(actions)), rng)
    stay = np.zeros((planner.config.horizon, ACTION_DIM))
    return _if_better(
        replace(found, actions=gripper_kept(found.actions)),
        than=replace(found, actions=stay, energy=final_energy(evaluate, stay), evaluations=1),
    )


def _fingers(
    evaluate: Evaluate, place: PlannerResult, closed: bool, is_done: bool, max_change: float
) -> PlannerResult:
    """Choose what the gripper does at the place; it may stay as it is.

    Once it has closed or opened for a goal (``is_done``), it takes that back only if what it sees
    is far from what was promised: beside an object, not for the noise of a prediction.

    An object stops fingers before they are as closed as they are told. Models see the closing
    better than the stopping, so that the change which leads to the goal image is the one up to the
    object. It is executed with no less than what holds.
    """
    openings = _OPENINGS if closed else _OPENINGS[:0]
    changes = np.concatenate([_CLOSINGS, openings])
    changes = changes[np.abs(changes) <= max_change]
    if not len(changes):
        return place
    options = np.repeat(place.actions[None], len(changes), axis=0)
    options[:, 0, _GRIPPER] = changes
    energies = checked_energies(evaluate, options)
    best = int(np.argmin(energies))
    actions = options[best]
    if changes[best] > 0.0:
        actions[0, _GRIPPER] = min(max(changes[best], GRIP), max_change)
    found = replace(place, actions=actions, energy=float(energies[best]), evaluations=len(options))
    closes = changes[best] > 0.0
    needed = REVERSAL if is_done and closes != closed else CLOSING if closes else OPENING
    return _if_better(found, than=place, by=needed)


def _if_better(
    found: PlannerResult, than: PlannerResult, by: float = IMPROVEMENT
) -> PlannerResult:
    """Return what was found, or the other result unless it promises clearly less."""
    chosen = found if found.energy < than.energy - by else than
    return replace(chosen, evaluations=found.evaluations + than.evaluations)
