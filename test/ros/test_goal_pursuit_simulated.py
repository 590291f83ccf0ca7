# SPDX-License-Identifier: Apache-2.0
"""The action pursue_goal with all nodes as processes and the simulated arm, over DDS."""

from __future__ import annotations

from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import Status
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.nodes import patient_parameters, start_nodes
from vjepa_ros.child_nodes.processes import NodeProcesses

pytest.importorskip('mujoco')

SEED = 3


@pytest.fixture
def start(graph, tmp_path):
    """Return a function that starts all nodes with a model, and waits until they are ready."""
    with NodeProcesses(tmp_path) as processes:

        def begin(model: str, image_size: int, **goal):
            parameters = patient_parameters(model, 'torch', 'cpu', 'float32')
            parameters['simulator'] |= {'seed': SEED, 'image_size': image_size}
            parameters['goal'] |= goal
            start_nodes(processes, parameters, tmp_path / 'parameters.yaml')
            graph.begin()
            graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
            graph.wait_for_status('planner', Status.WAITING, 'no goal set')
            graph.wait_for_status('encoder', Status.EXECUTING)
            graph.wait_for_status('commander', Status.STOPPED)
            return graph

        yield begin


def position(graph) -> np.ndarray:
    return conversions.pose_from_message(graph.poses[-1])[0]


def assert_it_rests(graph) -> None:
    """Assert that the arm stays where it is for two seconds, and that no motion begins."""
    held, motions, count = position(graph), graph.status('commander').accepted, len(graph.poses)
    graph.wait_until(lambda: len(graph.poses) > count + 100, 'two seconds')
    assert np.linalg.norm(position(graph) - held) < 0.002
    assert graph.status('commander').accepted == motions


def test_an_arm_that_gets_nowhere_is_told_so_and_rests(start, tiny_model, camera_image) -> None:
    graph = start(str(tiny_model), 64, **{'pursue.patience': 3, 'pursue.min_progress': 0.4})
    assert graph.call(Trigger, 'start').success
    image = conversions.image_to_message(camera_image, Header())
    answer = graph.send_goal(PursueGoal, 'pursue_goal', PursueGoal.Goal(image=image))
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert answer.result.outcome == PursueGoal.Result.STAGNATED
    assert answer.result.actions >= 3
    assert_it_rests(graph)


@pytest.mark.slow
def test_the_shipped_model_reaches_a_goal_and_rests(start) -> None:
    from vjepa_ros.demo.scene import make_goals

    goal = make_goals(SEED)[0]
    graph = start('franka-sim', 256)
    assert graph.call(Trigger, 'start').success
    request = PursueGoal.Goal(
        image=conversions.image_to_message(goal.image, Header()),
        energy_threshold=0.06,
        max_actions=15,
    )
    answer = graph.send_goal(PursueGoal, 'pursue_goal', request)
    assert answer.status == GoalStatus.STATUS_SUCCEEDED
    assert answer.result.outcome == PursueGoal.Result.REACHED
    assert 0.0 < answer.result.energy < 0.06
    assert_it_rests(graph)
    assert np.linalg.norm(position(graph) - goal.position) < 0.05
