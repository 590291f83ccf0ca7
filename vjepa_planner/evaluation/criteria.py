# SPDX-License-Identifier: Apache-2.0
"""When a task has succeeded: every criterion with its numbers and their reasons, in one place.

All of them look at the simulator's state. Energy decides nothing here.
"""

from __future__ import annotations

import math

import numpy as np

from vjepa_planner.simulation import FrankaSimulation, PLATE, REST_HEIGHT

SUCCESS_DISTANCE = 0.04
"""From the goal, below which a reach has succeeded [m], as in the V-JEPA 2 paper."""

LIFT_HEIGHT = 0.04
"""By which a grasped object must have risen [m]. More than tipping it over can raise its origin
(a cup by its radius, 3.3 cm; a box on its edge by 1 cm), so that pushing is not lifting."""

PLATE_DISTANCE = 0.04
"""Between the centres of object and plate, below which the object is on the plate [m]: the foot of
the cup (3.3 cm) and the corners of the box (3.5 cm) then lie on the plate (7.5 cm)."""

STANDING_TILT = math.radians(10.0)
"""From how an object stands, up to which it stands [rad]. It rests at 0 or, fallen, at 90 degrees;
what leans on the gripper is in between."""

STANDING_HEIGHT = 0.01
"""Above its height at rest, up to which an object stands on the table [m]: not on another one."""

STANDING_SPEED = 0.02
"""Up to which an object rests [m/s]: what falls is faster after 2 ms, what settles is slower."""


def is_lifted(simulation: FrankaSimulation, name: str) -> bool:
    """Return whether an object is between the fingers and well above the table."""
    objects = simulation.objects
    risen = objects.position(name)[2] - REST_HEIGHT[name]
    return objects.is_between_fingers(name) and bool(risen >= LIFT_HEIGHT)


def is_placed(simulation: FrankaSimulation, name: str) -> bool:
    """Return whether an object stands on the plate, upright and at rest, and is not held.

    An open hand may still be around it and touch it with one finger.
    """
    objects = simulation.objects
    off = np.linalg.norm((objects.position(name) - objects.position(PLATE))[:2])
    return (
        bool(off < PLATE_DISTANCE)
        and is_standing(simulation, name)
        and not objects.is_between_fingers(name)
    )


def is_standing(simulation: FrankaSimulation, name: str) -> bool:
    """Return whether an object stands on the table, upright and at rest."""
    objects = simulation.objects
    return (
        bool(abs(objects.position(name)[2] - REST_HEIGHT[name]) < STANDING_HEIGHT)
        and objects.tilt(name) < STANDING_TILT
        and objects.speed(name) < STANDING_SPEED
    )
