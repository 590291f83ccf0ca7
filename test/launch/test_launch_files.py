# SPDX-License-Identifier: Apache-2.0
"""The launch files: what they say, everywhere; what they do, where ros2 launch is installed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from typing import Any

import pytest

from vjepa_planner.backends import available_backends, PRECISIONS

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / 'vjepa_ros' / 'launching.py'
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
NODES = {'/vjepa/' + name for name in ('commander', 'encoder', 'goal', 'planner', 'simulator')}
TIMEOUT = 120.0  # [s] several processes that import torch, on a busy machine

every_launch_file = pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)


def calls(path: Path, function: str) -> list[ast.Call]:
    """Return the calls of a function in a launch file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [
        node
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == function
    ]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return a keyword argument of a call."""
    return next((item.value for item in call.keywords if item.arg == name), None)


def wait_until(condition: Callable[[], object], what: str) -> Any:
    """Return the first true value of ``condition``; fail if none comes in time."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < deadline, f'{what}: not within {TIMEOUT:g} s'
        time.sleep(0.05)
    return value


# -- what they say -----------------------------------------------------------------------------


def test_there_are_launch_files():
    names = {path.name.removesuffix('.launch.py') for path in LAUNCH_FILES}
    assert {'franka', 'gazebo', 'planner', 'record', 'simulation'} <= names


@every_launch_file
def test_a_launch_file_compiles_and_returns_a_description(path):
    names = {
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    compile(path.read_text(), str(path), 'exec')
    assert 'generate_launch_description' in names


@every_launch_file
def test_every_argument_of_its_own_is_described(path):
    for call in calls(path, 'DeclareLaunchArgument'):
        assert keyword(call, 'description'), ast.unparse(call)


def shared(name: str) -> ast.expr:
    """Return what is assigned to a name in vjepa_ros/launching.py."""
    for item in ast.parse(SHARED.read_text()).body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, 'target', None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return item.value
    raise AssertionError(f'{name} is not assigned in {SHARED.name}')


def test_every_shared_argument_is_described():
    arguments = shared('ARGUMENTS')
    assert isinstance(arguments, ast.Dict)
    for name, entry in zip(arguments.keys, arguments.values, strict=True):
        assert 'description' in [key.value for key in entry.keys], name.value


def test_every_executable_that_is_started_exists():
    started = [call.args[0] for path in (*LAUNCH_FILES, SHARED) for call in calls(path, 'node')]
    names = {item.value for item in started if isinstance(item, ast.Constant)}
    names |= {'composed', *ast.literal_eval(shared('THINKING'))}
    folder = Path(sysconfig.get_path('data')) / 'lib' / 'vjepa_ros'
    if not folder.is_dir():
        pytest.skip('vjepa_ros is not installed: make setup')
    assert {'simulator', 'recorder'} <= names
    assert names <= {file.name for file in folder.iterdir()}


def test_the_choices_of_the_model_are_those_of_the_library():
    assert tuple(ast.literal_eval(shared('BACKENDS'))) == available_backends()
    assert tuple(ast.literal_eval(shared('PRECISIONS'))) == PRECISIONS


# -- what they do ------------------------------------------------------------------------------


@pytest.fixture
def ros2() -> str:
    """Return the path of the command ros2."""
    pytest.importorskip('launch_ros', reason='needs ros2 launch, which has no wheels')
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    return shutil.which('ros2', path=search) or pytest.skip('the command ros2 is not installed')


class Launch:
    """A running launch file, whose output goes to a file."""

    def __init__(self, ros2: str, folder: Path, name: str, *arguments: str) -> None:
        self.log = folder / 'launch.log'
        command = [ros2, 'launch', str(ROOT / 'launch' / f'{name}.launch.py'), *arguments]
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def order(self, transition: str) -> list[str]:
        """Return the nodes that logged a transition, in this order."""
        lines = [line for line in self.log.read_text().splitlines() if transition in line]
        return [line.split('[vjepa.')[1].split(']')[0] for line in lines]

    def end(self) -> None:
        """End it as an operator does who is not at its terminal."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(TIMEOUT) == 0

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def launch(ros2: str, tmp_path: Path) -> Iterator[Callable[..., Launch]]:
    """Return what starts a launch file."""
    running: list[Launch] = []

    def start(name: str, *arguments: str) -> Launch:
        running.append(Launch(ros2, tmp_path, name, *arguments))
        return running[-1]

    yield start
    for one in running:
        one.kill()


class Observer:
    """A node that looks at what a launch file has started."""

    def __init__(self, launch: Launch) -> None:
        import rclpy

        rclpy.init()
        self.node = rclpy.create_node('observer', namespace='vjepa')
        self.launch = launch

    def wait_until(self, condition: Callable[[], object], what: str) -> Any:
        """Spin until a condition is true."""
        import rclpy

        def check() -> object:
            rclpy.spin_once(self.node, timeout_sec=0.1)
            assert self.launch.process.poll() is None, self.launch.log.read_text()
            return condition()

        return wait_until(check, what)

    def call(self, service: Any, name: str, request: Any = None) -> Any:
        """Return the answer of a service."""
        client = self.node.create_client(service, name)
        self.wait_until(client.service_is_ready, f'service {name}')
        future = client.call_async(request or service.Request())
        self.wait_until(future.done, f'answer of {name}')
        return future.result()

    def close(self) -> None:
        import rclpy

        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def observe() -> Iterator[Callable[[Launch], Observer]]:
    """Return what joins the graph of a launch file."""
    pytest.importorskip('rclpy')
    observers: list[Observer] = []

    def join(launch: Launch) -> Observer:
        observers.append(Observer(launch))
        return observers[-1]

    yield join
    for one in observers:
        one.close()


def described(path: Path, arguments: dict[str, str]) -> list[Any]:
    """Return the nodes that a launch file would start."""
    from launch import LaunchContext
    from launch.actions import OpaqueFunction
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(path))
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    nodes = []
    for entity in description.entities:
        if isinstance(entity, OpaqueFunction):
            found = entity.execute(context)
            nodes += [one for one in found if hasattr(one, 'node_executable')]
        elif type(entity).__name__ == 'DeclareLaunchArgument':
            entity.execute(context)
    return nodes


@every_launch_file
def test_a_preset_that_does_not_exist_is_refused(path, ros2):
    del ros2
    with pytest.raises(RuntimeError, match=r'robot:=fr4 .* Presets: fr3, panda'):
        described(path, {'robot': 'fr4'})


@every_launch_file
def test_a_name_that_is_no_node_of_ours_is_not_started(path, ros2):
    del ros2
    known = {'composed', 'encoder', 'goal', 'planner', 'commander', 'simulator', 'recorder'}
    known |= {'gripper', 'hand_pose'}
    for composed in ('true', 'false'):
        nodes = described(path, {'composed': composed})
        names = {node.node_executable for node in nodes if node.node_package == 'vjepa_ros'}
        assert names
        assert names <= known


@pytest.mark.parametrize(
    ('arguments', 'topic'),
    [
        ({}, '/camera/camera/color/image_raw'),
        ({'camera': 'usb_cam'}, '/image_raw'),
        ({'image_topic': '/mine'}, '/mine'),
    ],
)
def test_a_given_image_topic_wins_over_the_camera(ros2, arguments, topic):
    del ros2
    from launch import LaunchContext

    from vjepa_ros.launching import remappings

    context = LaunchContext()
    context.launch_configurations.update({'camera': 'realsense', 'image_topic': 'image'})
    context.launch_configurations.update(arguments)
    assert dict(remappings(context))['image'] == topic


@pytest.mark.parametrize(
    ('arguments', 'topics'),
    [
        ({}, ('/franka_robot_state_broadcaster/current_pose', '/joint_states')),
        (
            {'driver': 'franka_ros2_1'},
            ('/franka_robot_state_broadcaster/current_pose', '/fr3_gripper/joint_states'),
        ),
        ({'driver': 'none'}, ('current_pose', '/joint_states')),
        (
            {'current_pose_topic': '/current_pose', 'joint_states_topic': '/mine'},
            ('/current_pose', '/mine'),
        ),
    ],
)
def test_a_given_topic_wins_over_the_driver(ros2, arguments, topics):
    del ros2
    from launch import LaunchContext

    from vjepa_ros.launching import ARGUMENTS, topic

    context = LaunchContext()
    defaults = {name: item.get('default_value', '') for name, item in ARGUMENTS.items()}
    context.launch_configurations.update(defaults | {'driver': 'franka_ros2_3'} | arguments)
    assert (topic(context, 'current_pose'), topic(context, 'joint_states')) == topics


@pytest.mark.timeout(4 * TIMEOUT)
def test_the_simulation_plans_for_a_captured_goal_and_ends_on_ctrl_c(launch, observe):
    simulation = launch('simulation')
    observer = observe(simulation)
    from std_srvs.srv import Trigger

    from vjepa_msgs.msg import Plan

    def present() -> set[str]:
        names = observer.node.get_node_names_and_namespaces()
        return {f'{namespace}/{name}' for name, namespace in names}

    plans: list[Plan] = []
    observer.node.create_subscription(Plan, 'plan', plans.append, 1)
    observer.wait_until(lambda: present() >= NODES, f'{NODES} on the graph')
    # The encoder and the camera may still start.
    observer.wait_until(lambda: observer.call(Trigger, 'capture_goal').success, 'a captured goal')
    observer.wait_until(lambda: plans, 'a plan')
    assert plans[0].header.frame_id == 'fr3_link0'
    simulation.end()
    log = simulation.log.read_text()
    assert log.count('process has finished cleanly') == len(NODES), log


@pytest.mark.timeout(4 * TIMEOUT)
def test_nodes_come_up_in_order_once_the_model_is_set_right_and_the_commander_rests_first(
    launch, observe, tmp_path
):
    planner = launch('planner', 'model:=nowhere')
    observer = observe(planner)
    pytest.importorskip('torch')
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter
    from ros_graph import make_tiny_model

    model = Parameter('model', value=str(make_tiny_model(tmp_path / 'tiny'))).to_parameter_msg()
    observer.wait_until(
        lambda: planner.log.read_text().count('failed to come up') == 2, 'two complaints'
    )
    for name in ('encoder', 'planner'):
        assert observer.call(GetState, f'{name}/get_state').current_state.label == 'unconfigured'
        request = SetParameters.Request(parameters=[model])
        answer = observer.call(SetParameters, f'{name}/set_parameters', request)
        assert answer.results[0].successful
        request = ChangeState.Request(transition=Transition(label='configure'))
        assert observer.call(ChangeState, f'{name}/change_state', request).success
    order = ['encoder', 'goal', 'planner', 'commander']
    observer.wait_until(
        lambda: '/vjepa/commander is active' in planner.log.read_text(), 'active nodes'
    )
    assert planner.order('inactive -> active') == order
    planner.end()
    assert planner.order('-> inactive')[-1] == 'commander'
    log = planner.log.read_text()
    assert log.index(' active -> inactive') < log.index(' -> finalized')
