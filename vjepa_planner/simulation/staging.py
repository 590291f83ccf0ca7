# SPDX-License-Identifier: Apache-2.0
"""Puts hand and object into a state together: for goal images and for where episodes begin.

Nothing is planned or driven here: the hand is put around an object, the gripper closes on it by
the simulator's physics, and hand and object are put elsewhere together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.robots import fr3
from vjepa_planner.simulation.franka import FrankaSimulation
from vjepa_planner.simulation.objects import REST_HEIGHT
from vjepa_planner.simulation.scene import GRASP_HEIGHT

_SQUEEZE_WIDTH = 0.03  # [m] asked of a gripper that holds an object, 5 to 7 cm wide
_CLOSING_TIME = 1.0  # [s]


def grasp(simulation: FrankaSimulation, name: str) -> None:
    """Put the hand around an object that stands, in its present orientation, and close it."""
    place = [*simulation.objects.position(name)[:2], GRASP_HEIGHT[name]]
    euler = simulation.state()[3:6]
    simulation.place_end_effector(place, euler, fr3.MAX_GRIPPER_WIDTH)
    simulation.set_gripper_target(_SQUEEZE_WIDTH)
    simulation.advance(_CLOSING_TIME)


def carry(simulation: FrankaSimulation, name: str, position: npt.ArrayLike) -> None:
    """Put the tool centre point at a position, shape (3,) [m], with the object that it holds."""
    state = simulation.state()
    held, quaternion = simulation.objects.pose(name)
    simulation.place_end_effector(position, state[3:6])
    moved = simulation.state()[:3] - state[:3]
    simulation.objects.put(name, held + moved, quaternion)
    simulation.place_end_effector(position, state[3:6])  # with the object where it is now


def put_down(simulation: FrankaSimulation, name: str, height: float) -> None:
    """Put the object that is held on the table where it is, and the open hand around or above it.

    Args:
        simulation: Changed.
        name: Of the object.
        height: Of the tool centre point afterwards [m].
    """
    state = simulation.state()
    held, quaternion = simulation.objects.pose(name)
    simulation.objects.put(name, [*held[:2], REST_HEIGHT[name]], quaternion)
    above = np.array([*state[:2], height])
    simulation.place_end_effector(above, state[3:6], fr3.MAX_GRIPPER_WIDTH)
