# SPDX-License-Identifier: Apache-2.0
"""Closed-loop tasks in the simulator: success is judged by its state, never by energy."""

from vjepa_planner.evaluation.reach import ReachTask
from vjepa_planner.evaluation.report import EpisodeResult, EvaluationReport
from vjepa_planner.evaluation.run import Episode, evaluate, Policy, run_episode
from vjepa_planner.evaluation.task import SubGoalImage, Task, TaskGoal
from vjepa_planner.evaluation.tasks import available_tasks, find_task

__all__ = [
    'Episode',
    'EpisodeResult',
    'EvaluationReport',
    'Policy',
    'ReachTask',
    'SubGoalImage',
    'Task',
    'TaskGoal',
    'available_tasks',
    'evaluate',
    'find_task',
    'run_episode',
]
