# SPDX-License-Identifier: Apache-2.0
"""What the tasks with an object have in common: which object, and where things lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.evaluation.task import Task
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import FrankaSimulation, WORKSPACE_MAX, WORKSPACE_MIN

# Objects and plate lie where the hand can be around them, with 2 cm to spare, and farther apart
# than the palm's half width of 10 cm plus an object, so that a grasp touches one object only.
_EDGE = 0.02  # [m]
_REGION = WORKSPACE_MIN[:2] + _EDGE, WORKSPACE_MAX[:2] - _EDGE
_OBJECT_DISTANCE = 0.16  # [m]


class ObjectTask(Task):
    """A task with the cup or the box; the other one stands about, and the plate is there."""

    def __init__(self, object_name: str) -> None:
        """Make it a task with ``'cup'`` or ``'box'``."""
        self.moved = object_name

    def arrange(self, simulation: FrankaSimulation, seed: int) -> None:
        """Put the scene into the start state; see :class:`Task`."""
        simulation.reset(seed)
        rng = np.random.default_rng([seed, 3])
        euler = simulation.state()[3:6]
        simulation.objects.scatter(rng, *_REGION, _OBJECT_DISTANCE)
        while True:
            simulation.place_end_effector_randomly(rng, fr3.MAX_GRIPPER_WIDTH, euler)
            if self._is_start(simulation):
                break

    def _is_start(self, simulation: FrankaSimulation) -> bool:
        """Return whether an episode may begin with the arm where it is."""
        return True

    def position(self, simulation: FrankaSimulation) -> npt.NDArray[np.float64]:
        """Return where the object is, shape (3,) [m]."""
        return simulation.objects.position(self.moved)
