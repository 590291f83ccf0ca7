# SPDX-License-Identifier: Apache-2.0
"""Approach from above: first over the place, then down to it, and only there the fingers.

A greedy planner goes straight to the pose in the goal image, and its fingers push what it is to
take. With a clearance height, one plan is up to two searches over the same energy:

1. *above*: the hand stays at or above the clearance height, and the gripper as it is;
2. *at the place*: if the first search hardly moves sideways any more, the hand may go down and the
   gripper may move; below the clearance height it moves sideways by no more than the alignment.

Neither looks at anything but the energy and the height of the hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vjepa_planner.planners import Planner, PlannerResult
from vjepa_planner.planners.base import Evaluate

Actions = npt.NDArray[np.float64]

_SIDEWAYS = slice(0, 2)
_UP = 2
_GRIPPER = 6


def plan_from_above(
    planner: Planner, evaluate: Evaluate, height: float, rng: np.random.Generator
) -> PlannerResult:
    """Search a plan that keeps to the clearance height of the planner's configuration.

    Without one (0) this is ``planner.plan(evaluate, rng)``.

    Args:
        planner: Searches.
        evaluate: Maps actions (S, T, 7) to energies (S,).
        height: Of the hand now, in the base frame [m].
        rng: The only source of randomness.

    Raises:
        PlanningError: ``evaluate`` gives no usable energies.
    """
    config = planner.config
    if config.clearance_height == 0.0:
        return planner.plan(evaluate, rng)

    def stay_above(actions: Actions) -> Actions:
        return above(actions, height, config.clearance_height, config.max_translation)

    def stay_aligned(actions: Actions) -> Actions:
        return aligned(actions, height, config.clearance_height, config.alignment)

    over = _search(planner, evaluate, stay_above, rng)
    if np.abs(over.actions[0, _SIDEWAYS]).max() > config.alignment:
        return over
    down = _search(planner, evaluate, stay_aligned, rng)
    return replace(down, evaluations=over.evaluations + down.evaluations)


def above(actions: Actions, height: float, clearance: float, limit: float) -> Actions:
    """Return actions (S, T, 7) that end at or above a height, with the gripper as it is.

    Args:
        actions: Shape (S, T, 7).
        height: Of the hand before them [m].
        clearance: Where they may end [m]; below it, they rise by ``limit`` at most.
        limit: Largest displacement along an axis [m].
    """
    allowed = actions.copy()
    allowed[..., _GRIPPER] = 0.0
    here = np.full(len(actions), height)
    for step in range(actions.shape[1]):
        lowest = np.minimum(clearance - here, limit)
        allowed[:, step, _UP] = np.maximum(actions[:, step, _UP], lowest)
        here = here + allowed[:, step, _UP]
    return allowed


def aligned(actions: Actions, height: float, clearance: float, alignment: float) -> Actions:
    """Return actions (S, T, 7) that hardly move sideways where they end below a height.

    Args:
        actions: Shape (S, T, 7).
        height: Of the hand before them [m].
        clearance: Below it they are limited [m].
        alignment: Largest displacement along x and y there [m].
    """
    allowed = actions.copy()
    low = height + np.cumsum(actions[..., _UP], axis=1) < clearance
    sideways = allowed[..., _SIDEWAYS]
    limited = np.clip(sideways, -alignment, alignment)
    allowed[..., _SIDEWAYS] = np.where(low[..., None], limited, sideways)
    return allowed


def _search(
    planner: Planner,
    evaluate: Evaluate,
    allow: Callable[[Actions], Actions],
    rng: np.random.Generator,
) -> PlannerResult:
    """Search among what is allowed: a candidate stands for the nearest allowed actions."""
    result = planner.plan(lambda actions: evaluate(allow(actions)), rng)
    return replace(result, actions=allow(result.actions[None])[0])
