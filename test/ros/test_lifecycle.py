# SPDX-License-Identifier: Apache-2.0
"""Managed nodes over their services: transitions, what they refuse, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
import gc
import signal
import subprocess
import sys
import threading
import time
from typing import Any
import weakref

from ideal_arm import Arm, HOME, PATIENT
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_graph import Graph, wait_until
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Embedding, Goal, Status
from vjepa_msgs.srv import Encode, SetGoalImage
from vjepa_planner.errors import VjepaPlannerError
from vjepa_ros import composed, conversions, qos
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.endpoints import endpoints
from vjepa_ros.goal_node import GoalNode
from vjepa_ros.planner_node import PlannerNode

MANAGED = {'managed': True}
ARM = {**PATIENT, **MANAGED, 'autostart': True}


class Manager:
    """Asks nodes for transitions, as a lifecycle manager does."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def ask(self, node: str, *transitions: str) -> bool:
        """Return whether the last of the transitions went well; those before must."""
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(label=transition))
            done = self.graph.call(ChangeState, f'{node}/change_state', request).success
            assert done or transition is transitions[-1], f'{node}: {transition}'
        return done

    def state(self, node: str) -> str:
        return self.graph.call(GetState, f'{node}/get_state').current_state.label

    def set(self, node: str, name: str, value: object) -> Any:
        parameters = [Parameter(name, value=value).to_parameter_msg()]
        request = SetParameters.Request(parameters=parameters)
        return self.graph.call(SetParameters, f'{node}/set_parameters', request).results[0]


@pytest.fixture
def manager(graph) -> Manager:
    return Manager(graph)


def networks(model: object) -> dict[str, Any]:
    return {'model': str(model), 'device': 'cpu', **MANAGED}


def show(graph: Graph, image: np.ndarray) -> Callable[[], object]:
    """Return what publishes an image of now."""
    publisher = graph.publisher(Image, 'image', qos.CAMERA)

    def publish() -> None:
        header = Header(stamp=graph.now(), frame_id='camera')
        publisher.publish(conversions.image_to_message(image, header))

    return publish


# -- encoder: every transition -----------------------------------------------------------------


def test_an_encoder_encodes_while_it_is_active_and_frees_its_model(
    graph, manager, tiny_model, camera_image
) -> None:
    graph.begin(encoder=networks(tiny_model))
    node = EncoderNode()
    graph.start(node)
    embeddings = graph.record(Embedding, 'embedding', qos.RESULT)
    graph.wait_for_status('encoder', Status.WAITING, 'not configured')
    assert manager.state('encoder') == 'unconfigured'

    assert manager.ask('encoder', 'configure')
    assert manager.state('encoder') == 'inactive'
    graph.wait_for_status('encoder', Status.WAITING, 'not active: configured')
    model = weakref.ref(node.model.world_model)
    publish = show(graph, camera_image)
    graph.observer.create_timer(0.05, publish)
    answer = graph.call(Encode, 'encode')
    assert not answer.success
    assert 'ros2 lifecycle set /vjepa/encoder activate' in answer.message
    assert not embeddings

    assert manager.ask('encoder', 'activate')
    wait_until(lambda: embeddings, 'embedding')
    assert manager.ask('encoder', 'deactivate')
    graph.wait_for_status('encoder', Status.WAITING, 'not active: deactivated')
    time.sleep(0.5)
    count = len(embeddings)
    time.sleep(0.3)
    assert len(embeddings) == count

    assert manager.ask('encoder', 'cleanup')
    assert manager.state('encoder') == 'unconfigured'
    gc.collect()
    assert model() is None, 'the model is freed'
    assert manager.ask('encoder', 'configure', 'activate')
    wait_until(lambda: len(embeddings) > count, 'embedding, again')


def test_a_missing_model_fails_the_transition_and_can_be_set_right(
    graph, manager, tiny_model
) -> None:
    graph.begin(encoder=networks('nowhere'))
    graph.start(EncoderNode())
    assert not manager.ask('encoder', 'configure')
    assert manager.state('encoder') == 'unconfigured'
    graph.wait_for_status('encoder', Status.WAITING, 'nowhere')
    assert manager.set('encoder', 'model', str(tiny_model)).successful
    assert manager.ask('encoder', 'configure', 'activate')
    refused = manager.set('encoder', 'model', 'nowhere')
    assert not refused.successful
    assert 'ros2 lifecycle set /vjepa/encoder' in refused.reason
    assert manager.ask('encoder', 'deactivate', 'cleanup')
    assert manager.set('encoder', 'model', 'nowhere').successful
    assert not manager.ask('encoder', 'configure')


def test_a_transition_that_is_not_possible_fails_and_does_no_harm(graph, manager) -> None:
    graph.begin(goal=MANAGED)
    graph.start(GoalNode())
    assert not manager.ask('goal', 'activate')
    assert manager.state('goal') == 'unconfigured'
    assert manager.ask('goal', 'configure', 'activate')
    for impossible in ('activate', 'configure', 'cleanup', 'nonsense'):
        assert not manager.ask('goal', impossible)
        assert manager.state('goal') == 'active'


# -- goal and planner --------------------------------------------------------------------------


def test_a_goal_node_that_is_deactivated_withdraws_its_goal_and_takes_none(
    graph, manager, tiny_model, camera_image
) -> None:
    graph.begin(encoder=networks(tiny_model) | {'managed': False}, goal=MANAGED)
    graph.start(EncoderNode())
    graph.start(GoalNode())
    assert manager.ask('goal', 'configure', 'activate')
    goals = graph.record(Goal, 'goal', qos.GOAL)
    request = SetGoalImage.Request(image=conversions.image_to_message(camera_image, Header()))
    assert graph.call(SetGoalImage, 'set_goal_image', request).success
    wait_until(lambda: goals and goals[-1].goal_id, 'goal')
    assert manager.ask('goal', 'deactivate')
    wait_until(lambda: not goals[-1].goal_id, 'withdrawal')
    answer = graph.call(SetGoalImage, 'set_goal_image', request)
    assert not answer.success
    assert 'not active' in answer.message
    assert manager.ask('goal', 'activate')
    assert graph.call(SetGoalImage, 'set_goal_image', request).success


def test_a_planner_is_chosen_when_it_is_configured_and_forgets_its_settings_with_cleanup(
    graph, manager, tiny_model
) -> None:
    graph.begin(planner=networks(tiny_model) | {'planner.name': 'nonsense'})
    node = PlannerNode()
    graph.start(node)
    assert not manager.ask('planner', 'configure')
    graph.wait_for_status('planner', Status.WAITING, 'nonsense')
    assert manager.set('planner', 'planner.name', '').successful
    assert manager.ask('planner', 'configure')
    assert node.get_parameter('planner.num_samples').value == 16, 'as the model recommends'
    assert manager.set('planner', 'planner.num_samples', 32).successful
    assert manager.ask('planner', 'cleanup')
    assert not node.has_parameter('planner.num_samples')
    assert manager.ask('planner', 'configure')
    assert node.get_parameter('planner.num_samples').value == 16


# -- commander ---------------------------------------------------------------------------------


@pytest.fixture
def arm(graph, manager) -> Arm:
    """Return the arm before a commander that is inactive and has ``autostart``."""
    graph.begin(commander=ARM)
    graph.start(CommanderNode())
    assert manager.ask('commander', 'configure')
    return Arm(graph)


def activate(graph: Graph, manager: Manager, arm: Arm) -> None:
    assert manager.ask('commander', 'activate')
    arm.wait_for_rest()


def test_a_commander_moves_nothing_before_it_is_active_nor_because_it_becomes_so(
    graph, manager, arm
) -> None:
    graph.wait_for_status('commander', Status.STOPPED, 'not active: configured')
    arm.plan(0.1, 0.0, 0.0)
    graph.wait_until(lambda: graph.status('commander').rejected == 1, 'refusal')
    answer = graph.call(Trigger, 'start')
    assert not answer.success
    assert 'ros2 lifecycle set /vjepa/commander activate' in answer.message
    activate(graph, manager, arm)
    assert not arm.targets
    arm.plan(0.05, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)


def test_a_commander_that_is_deactivated_while_the_arm_moves_holds_and_needs_start(
    graph, manager, arm
) -> None:
    activate(graph, manager, arm)
    arm.plan(0.14, 0.0, 0.0)
    graph.wait_until(lambda: len(arm.targets) > 5, 'motion')
    assert manager.ask('commander', 'deactivate')
    graph.wait_for_status('commander', Status.STOPPED, 'not active: deactivated')
    time.sleep(0.2)
    where, count = arm.position.copy(), len(arm.targets)
    assert where[0] < HOME[0] + 0.12
    arm.plan(0.05, 0.0, 0.0)
    time.sleep(0.5)
    assert len(arm.targets) == count
    assert manager.ask('commander', 'activate')
    graph.wait_for_status('commander', Status.STOPPED, 'deactivated: call the service start')
    arm.plan(0.05, 0.0, 0.0)
    time.sleep(0.5)
    assert len(arm.targets) == count, 'autostart is for the first time'
    assert graph.call(Trigger, 'start').success
    arm.wait_for_rest()
    arm.plan(0.05, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)


def test_an_emergency_stop_outlives_every_transition(graph, manager, arm) -> None:
    activate(graph, manager, arm)
    assert graph.call(Trigger, 'e_stop').success
    wait_until(lambda: arm.targets, 'the hold')
    for transition in ('deactivate', 'cleanup', 'configure', 'activate'):
        assert manager.ask('commander', transition)
        graph.wait_for_status('commander', Status.E_STOPPED)
    assert not graph.call(Trigger, 'start').success
    assert len(arm.targets) == 1


def test_a_commander_can_be_given_another_interface_between_cleanup_and_configure(
    graph, manager, arm
) -> None:
    refused = manager.set('commander', 'command_interface', 'twist')
    assert not refused.successful
    assert manager.ask('commander', 'cleanup')
    assert manager.set('commander', 'command_interface', 'twists').successful
    assert not manager.ask('commander', 'configure')
    graph.wait_for_status('commander', Status.STOPPED, "Did you mean 'twist'")
    assert manager.set('commander', 'command_interface', 'twist').successful
    assert manager.ask('commander', 'configure', 'activate')
    arm.wait_for_rest()


# -- what is left behind -----------------------------------------------------------------------


def test_nothing_is_left_of_many_lives(graph, manager, tiny_model, camera_image) -> None:
    parameters = networks(tiny_model)
    graph.begin(encoder=parameters, goal=MANAGED, planner=MANAGED, commander=ARM)
    nodes = composed.make_nodes()
    graph.start(*nodes)
    graph.observer.create_timer(0.02, show_anyone(graph, camera_image))
    lives = []
    for _ in range(10):
        for node in ('encoder', 'goal', 'planner', 'commander'):
            assert manager.ask(node, 'configure', 'activate')
        for node in ('commander', 'planner', 'goal', 'encoder'):
            assert manager.ask(node, 'deactivate', 'cleanup')
        lives.append(
            (
                sum(thread.name == 'model' for thread in threading.enumerate()),
                [len(endpoints(node)) for node in nodes],
                [len(node.list_parameters([], 0).names) for node in nodes],
                [len(node.diagnostics._inputs) for node in nodes],
            )
        )
    assert lives[0][0] == 0
    assert lives[-1] == lives[0]


def test_a_node_that_is_destroyed_leaves_the_graph_at_once(graph) -> None:
    graph.begin()
    gc.disable()  # which would destroy what was forgotten, some time
    try:
        for node in (CommanderNode(), GoalNode()):
            node.begin()
            node.close()
            node.destroy_node()
            del node
        wait_until(lambda: set(graph.observer.get_node_names()) == {'observer'}, 'nobody', 10.0)
    finally:
        gc.enable()


def show_anyone(graph: Graph, image: np.ndarray) -> Callable[[], object]:
    """Return what publishes an image of now, whether somebody listens or not."""
    publisher = graph.observer.create_publisher(Image, 'image', qos.CAMERA)
    return lambda: publisher.publish(
        conversions.image_to_message(image, Header(stamp=graph.now(), frame_id='camera'))
    )


def test_nodes_of_one_process_share_a_model_and_not_two(graph, manager, tiny_model) -> None:
    graph.begin(encoder=networks(tiny_model), goal=MANAGED, planner=MANAGED, commander=ARM)
    nodes = composed.make_nodes()
    graph.start(*nodes)
    encoder = nodes[-1]
    assert manager.ask('planner', 'configure')
    model = encoder.model.world_model
    assert manager.ask('encoder', 'configure')
    assert encoder.model.world_model is model
    assert manager.ask('encoder', 'cleanup')
    assert manager.set('encoder', 'model_seed', 1).successful
    assert not manager.ask('encoder', 'configure')
    graph.wait_for_status('encoder', Status.WAITING, 'another node of this process still uses')
    assert manager.ask('planner', 'cleanup')
    assert manager.ask('encoder', 'configure')
    assert encoder.model.world_model is not model


# -- executables -------------------------------------------------------------------------------


def executable(graph: Graph, folder: Any, module: str, **parameters: Any) -> subprocess.Popen:
    """Start an executable; what it says goes to a file in the folder."""
    code = f'import sys; from vjepa_ros.{module} import main; sys.exit(main())'
    arguments = graph.ros_arguments(folder, parameters)
    with (folder / 'log').open('wb') as log:
        return subprocess.Popen([sys.executable, '-c', code, *arguments], stdout=log, stderr=log)


def test_an_executable_that_nobody_manages_ends_with_one_line_if_its_model_is_missing(
    graph, tmp_path
) -> None:
    process = executable(graph, tmp_path, 'encoder_node', encoder={'model': 'nowhere'})
    assert process.wait(60.0) == 1
    said = (tmp_path / 'log').read_text().splitlines()
    assert len([line for line in said if 'nowhere' in line and 'INFO' not in line]) == 1, said
    assert not [line for line in said if 'Traceback' in line]


def test_a_shutdown_ends_the_process(graph, manager, tmp_path) -> None:
    graph.begin()
    process = executable(graph, tmp_path, 'commander_node', commander=ARM)
    graph.wait_for_status('commander', Status.STOPPED, 'not configured')
    assert manager.ask('commander', 'configure', 'activate')
    assert manager.ask('commander', 'shutdown')
    assert process.wait(30.0) == 0


def test_a_composed_process_comes_up_commander_last_and_ends_commander_first(
    graph, tmp_path, tiny_model
) -> None:
    graph.begin()
    model = {'model': str(tiny_model), 'device': 'cpu'}
    process = executable(graph, tmp_path, 'composed', encoder=model)
    graph.wait_for_status('commander', Status.STOPPED, 'not started')
    process.send_signal(signal.SIGINT)
    assert process.wait(30.0) == 0
    said = (tmp_path / 'log').read_text()

    def order(transition: str) -> list[str]:
        lines = [line for line in said.splitlines() if transition in line]
        return [line.split('[vjepa.')[1].split(']')[0] for line in lines]

    assert order('inactive -> active') == ['encoder', 'goal', 'planner', 'commander']
    assert order('active -> finalized') == ['commander', 'planner', 'goal', 'encoder']


def test_what_configure_refuses_is_raised_by_a_node_that_brings_itself_up(graph) -> None:
    graph.begin(encoder={'model': 'nowhere'})
    with pytest.raises(VjepaPlannerError, match='nowhere'):
        graph.start(EncoderNode())
