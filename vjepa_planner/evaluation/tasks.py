# SPDX-License-Identifier: Apache-2.0
"""The tasks of the V-JEPA 2 paper's table 2, by name."""

from __future__ import annotations

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.evaluation.grasp import GraspTask
from vjepa_planner.evaluation.pick_place import PickPlaceTask
from vjepa_planner.evaluation.reach import ReachTask
from vjepa_planner.evaluation.reach_with_object import ReachWithObjectTask
from vjepa_planner.evaluation.task import Task
from vjepa_planner.simulation import GRASPABLE

_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        ReachTask(),
        *(kind(name) for kind in (GraspTask, ReachWithObjectTask, PickPlaceTask)
          for name in GRASPABLE),
    )
}  # fmt: skip


def available_tasks() -> tuple[str, ...]:
    """Return the names of all tasks."""
    return tuple(_TASKS)


def find_task(name: str) -> Task:
    """Return a task, which keeps nothing from one episode to the next.

    Raises:
        UnknownNameError: There is no such task.
    """
    if name not in _TASKS:
        raise UnknownNameError('task', name, available_tasks())
    return _TASKS[name]
