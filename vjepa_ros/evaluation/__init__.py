# SPDX-License-Identifier: Apache-2.0
"""``vjepa eval --through ros``: the episodes of an evaluation, done by the real nodes.

The command line finds this package by its name and calls :func:`evaluate`. What needs ROS is
imported after the check for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from vjepa_planner.evaluation import Episode
from vjepa_ros.child_nodes.requirements import check_requirements
from vjepa_ros.child_nodes.signals import raise_on_signals
from vjepa_ros.evaluation.config import EvaluationConfig

__all__ = ['EvaluationConfig', 'check', 'evaluate']


def check(backend: str, *, pictures: bool) -> None:
    """Raise if what this needs is not installed; see :func:`check_requirements`."""
    check_requirements('--through ros', backend, pictures=pictures)


def evaluate(config: EvaluationConfig, note: Callable[[str], None]) -> Generator[Episode]:
    """Yield the episode of each seed, like ``vjepa_planner.evaluation.evaluate``.

    The nodes run from the first episode on until the iterator is closed. Signals that ask this
    process to end become KeyboardInterrupts.

    Args:
        config: What to run.
        note: Called with what is going on.

    Raises:
        NodesError: A node ended by itself, refused something or did not answer.
    """
    from vjepa_ros.evaluation.run import run_episodes

    raise_on_signals()
    return run_episodes(config, note)
