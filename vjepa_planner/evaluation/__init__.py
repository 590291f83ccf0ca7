# SPDX-License-Identifier: Apache-2.0
"""Closed-loop tasks in the simulator: success is judged by its state, never by energy."""

from vjepa_planner.evaluation.reach import ReachTask
from vjepa_planner.evaluation.report import EpisodeResult, EvaluationReport
from vjepa_planner.evaluation.run import evaluate, run_episode

__all__ = ['EpisodeResult', 'EvaluationReport', 'ReachTask', 'evaluate', 'run_episode']
