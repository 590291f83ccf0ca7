# SPDX-License-Identifier: Apache-2.0
"""Runs episodes through the nodes: arrange, let them act, judge."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, ExitStack
from pathlib import Path
import shutil
import tempfile
import time

from rclpy.task import Future

from vjepa_planner.errors import VjepaPlannerError
from vjepa_planner.evaluation import Episode, EpisodeResult
from vjepa_ros.child_nodes.domain import reserved_domain_id
from vjepa_ros.child_nodes.environment import enter_private_graph
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.nodes import start_nodes
from vjepa_ros.child_nodes.processes import NodeProcesses
from vjepa_ros.evaluation.config import EvaluationConfig, make_parameters
from vjepa_ros.evaluation.director import Director
from vjepa_ros.evaluation.episode_log import EpisodeLog

_ACTION_TIMEOUT = 150.0  # [s] without a plan or an action after which something must be wrong


def run_episodes(config: EvaluationConfig, note: Callable[[str], None]) -> Generator[Episode]:
    """Start the nodes, yield the episode of each seed, and end the nodes; see the package.

    Raises:
        NodesError: A node ended by itself, refused something or did not answer.
    """
    with ExitStack() as stack:
        logs = config.logs or stack.enter_context(temporary_folder())
        logs.mkdir(parents=True, exist_ok=True)
        enter_private_graph(stack.enter_context(reserved_domain_id()), logs)
        processes = stack.enter_context(NodeProcesses(logs))
        start_nodes(processes, make_parameters(config), logs / 'parameters.yaml')
        director = stack.enter_context(Director(processes.check))
        _wait_for_nodes(director, note)
        for seed in config.seeds:
            yield _run_episode(director, config, seed, note)


def _wait_for_nodes(director: Director, note: Callable[[str], None]) -> None:
    """Return when all nodes are ready; note once per second for what is waited."""
    noted = 0

    def on_wait(names: str, seconds: float) -> None:
        nonlocal noted
        if seconds >= noted:
            noted += 1
            note(f'waiting for {names}')

    director.wait_for_nodes(lambda _node, _seconds: None, on_wait)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that stays only if there is an error, which then names a file in it."""
    folder = Path(tempfile.mkdtemp(prefix='vjepa-eval-'))
    keep = False
    try:
        yield folder
    except VjepaPlannerError:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _run_episode(
    director: Director, config: EvaluationConfig, seed: int, note: Callable[[str], None]
) -> Episode:
    """Run one episode to its last action and have it judged where it ended."""
    director.seed_planner(seed)
    goal = director.arrange(config.task.name, seed)
    if config.final_goal_only:
        goal = goal.final_only()
    log = director.pursue(goal)
    distances = _act(director, log, lambda actions: note(f'action {actions}/{log.budget}'))
    judgement, last_image = director.finish()
    result = EpisodeResult(
        seed=seed,
        success=judgement.succeeded,
        distances=(*distances, judgement.distance),
        energies=log.energies,
        seconds=log.seconds,
        sub_goals=log.sub_goals,
    )
    return Episode(result, goal, (*log.images, last_image))


def _act(director: Director, log: EpisodeLog, note: Callable[[int], object]) -> list[float]:
    """Watch until all actions have ended; return the distance before each of them [m].

    Raises:
        NodesError: Nothing happens any more.
    """
    judgements: list[Future] = []
    progress, since = log.progress, time.monotonic()
    while not log.is_complete:
        while len(judgements) < min(log.rests, log.budget):
            judgements.append(director.judge())
        director.spin()
        if log.progress != progress:
            progress, since = log.progress, time.monotonic()
            note(log.actions)
        if time.monotonic() - since > _ACTION_TIMEOUT:
            raise NodesError(
                f'no plan and no action for {_ACTION_TIMEOUT:g} s, after {log.actions} of '
                f'{log.budget} actions. {director.what_nodes_say()}'
            )
    return [director.judgement(future).distance for future in judgements]
