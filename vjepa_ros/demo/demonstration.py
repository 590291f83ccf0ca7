# SPDX-License-Identifier: Apache-2.0
"""The demonstration from its first line of output to the last."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
import time

import cv2

from vjepa_planner.evaluation import TaskGoal
from vjepa_ros.child_nodes.domain import reserved_domain_id
from vjepa_ros.child_nodes.environment import enter_private_graph
from vjepa_ros.child_nodes.nodes import start_nodes
from vjepa_ros.child_nodes.processes import NodeProcesses
from vjepa_ros.demo.config import DemoConfig, DemoFiles
from vjepa_ros.demo.display import Display
from vjepa_ros.demo.episode import Episode
from vjepa_ros.demo.observer import Observer
from vjepa_ros.demo.painter import Painter
from vjepa_ros.demo.parameters import make_parameters
from vjepa_ros.demo.plot import plot_energy
from vjepa_ros.demo.pursuit import Pursuit
from vjepa_ros.demo.recording import Recording
from vjepa_ros.demo.report import failure_line, make_result, make_table, write_result
from vjepa_ros.demo.scene import make_goals
from vjepa_ros.demo.video import write_episode


def demonstrate(config: DemoConfig) -> str:
    """Run the demonstration and return what went wrong, in one line; empty if nothing did.

    Raises:
        VjepaPlannerError: It could not be brought to its end.
        OSError: A file cannot be written.
    """
    display = Display()
    files = DemoFiles(config.out)
    begin = time.monotonic()
    with ExitStack() as stack:
        domain_id = config.domain_id
        if domain_id is None:
            domain_id = stack.enter_context(reserved_domain_id())
        enter_private_graph(domain_id, files.logs)
        processes = stack.enter_context(NodeProcesses(files.logs))
        stack.callback(display.update, 'ending the nodes')  # before they are, however it ends
        display.say(f'starting the nodes in ROS domain {domain_id}; watch them by')
        display.say(
            f'  ROS_DOMAIN_ID={domain_id} ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST '
            'ros2 topic echo /vjepa/status'
        )
        start_nodes(processes, make_parameters(config), files.logs / 'parameters.yaml')
        goals = _prepare_goals(config, files)
        observer = stack.enter_context(Observer(processes.check))
        episode = Episode(observer, display, config.max_actions)
        episode.wait_for_nodes()
        ready = time.monotonic()
        episode.pursue(goals[0], goals[0].image)
        episode.pursue(goals[1], files.goal_images[1])  # while the arm still moves
        episode.hold()
        ended = time.monotonic()
    seconds = {'until_ready': ready - begin, 'episode': ended - ready}
    write_result(files.result, make_result(config, episode.pursuits, seconds))
    display.update('writing the video')
    _leave_pictures(files, observer.recording, episode.pursuits, goals)
    display.say()
    display.say(make_table(episode.pursuits))
    display.say()
    for path in (files.video, files.plot, files.result, *files.goal_images, files.logs):
        display.say(f'  {path}')
    return failure_line(episode.pursuits)


def _prepare_goals(config: DemoConfig, files: DemoFiles) -> list[TaskGoal]:
    """Return the goals, with their images saved."""
    goals = make_goals(config.seed)
    for goal, path in zip(goals, files.goal_images, strict=True):
        if not cv2.imwrite(str(path), goal.image[:, :, ::-1]):
            raise OSError(f'cannot write {path}.')
    return goals


def _leave_pictures(
    files: DemoFiles,
    recording: Recording,
    pursuits: Sequence[Pursuit],
    goals: Sequence[TaskGoal],
) -> None:
    """Write plot and video."""
    plot_energy(files.plot, pursuits)
    write_episode(files.video, Painter(recording, pursuits, [goal.image for goal in goals]))
