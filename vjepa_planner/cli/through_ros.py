# SPDX-License-Identifier: Apache-2.0
"""Finds the part of ``vjepa eval`` that needs ROS, without importing it before it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TYPE_CHECKING

from vjepa_planner.errors import MissingDependencyError

if TYPE_CHECKING:
    from vjepa_planner.evaluation import Episode, Task
    from vjepa_planner.planners import PlannerConfig

_EVALUATION = 'vjepa_ros.evaluation'


def check_ros(options: argparse.Namespace) -> None:
    """Raise if an evaluation through ROS cannot run here.

    Raises:
        MissingDependencyError: Something is not installed; the message says what to do.
    """
    if find_spec('vjepa_ros') is None:
        raise MissingDependencyError(
            '--through ros needs the package vjepa_ros, which is not installed. Run `make setup` '
            'in its repository, or leave the option out.'
        )
    _evaluation().check(options.backend, pictures=options.out is not None)


def episodes_through_ros(
    options: argparse.Namespace,
    task: Task,
    vary: frozenset[str],
    planner: str,
    planner_config: PlannerConfig,
    note: Callable[[str], None],
) -> Generator[Episode]:
    """Yield the episodes that the nodes do; close the iterator to end them.

    Args:
        options: Of ``vjepa eval``.
        task: What is to be done.
        vary: Looks that depend on the seed.
        planner: Its name.
        planner_config: Its settings.
        note: Called with what is going on.
    """
    package = _evaluation()
    config = package.EvaluationConfig(
        task=task,
        seeds=range(options.seed, options.seed + options.episodes),
        final_goal_only=options.goals == 'final',
        vary=vary,
        renderer=options.renderer,
        model=options.model,
        backend=options.backend,
        device=options.device,
        precision=options.precision,
        planner=planner,
        planner_config=planner_config,
        logs=options.out / 'logs' if options.out else None,
    )
    episodes: Generator[Episode] = package.evaluate(config, note)
    return episodes


def _evaluation() -> Any:  # noqa: ANN401 - this package must not know its types
    return import_module(_EVALUATION)
