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
    assert {'planner.launch.py', 'simulation.launch.py'} <= {path.name for path in LAUNCH_FILES}


@every_launch_file
def test_a_launch_file_compiles_and_returns_a_description(path):
    names = {
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    compile(path.read_text(), str(path), 'exec')
    assert 'generate_launch_description' in names


@every_launch_file
def test_every_argument_is_described(path):
    declared = calls(path, 'DeclareLaunchArgument')
    assert declared
    for call in declared:
        assert keyword(call, 'description'), ast.unparse(call)


@every_launch_file
def test_every_executable_that_it_starts_exists(path):
    started = [keyword(call, 'executable') for call in calls(path, 'Node')]
    started += [call.args[0] for call in calls(path, '_node')]
    names = {item.value for item in started if isinstance(item, ast.Constant)}
    assert names
    folder = Path(sysconfig.get_path('data')) / 'lib' / 'vjepa_ros'
    if not folder.is_dir():
        pytest.skip('vjepa_ros is not installed: make setup')
    assert names <= {file.name for file in folder.iterdir()}


@every_launch_file
def test_the_choices_of_the_model_are_those_of_the_library(path):
    choices = {
        call.args[0].value: keyword(call, 'choices')
        for call in calls(path, 'DeclareLaunchArgument')
    }
    if 'model' not in choices:
        pytest.skip('it starts no node with a model')
    names = {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        for target in node.targets
    }
    for argument, expected in (('backend', available_backends()), ('precision', PRECISIONS)):
        assert tuple(names[choices[argument].id]) == expected


# -- what they do ------------------------------------------------------------------------------


@pytest.fixture
def ros2() -> str:
    """Return the path of the command ros2."""
    pytest.importorskip('launch_ros', reason='needs ros2 launch, which has no wheels')
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    return shutil.which('ros2', path=search) or pytest.skip('the command ros2 is not installed')


@pytest.fixture
def simulation(ros2: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return the running simulation.launch.py, whose output goes to simulation.log."""
    command = [ros2, 'launch', str(ROOT / 'launch' / 'simulation.launch.py')]
    with (tmp_path / 'simulation.log').open('wb') as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@every_launch_file
def test_an_included_file_declares_what_is_passed_on(path, ros2):
    del ros2
    if 'planner.launch.py' not in path.read_text() and path.name != 'planner.launch.py':
        pytest.skip('it does not include planner.launch.py')
    from launch import LaunchContext
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    arguments = {
        file.name: {
            argument.name: argument
            for argument in get_launch_description_from_python_launch_file(
                str(file)
            ).get_launch_arguments()
        }
        for file in (path, ROOT / 'launch' / 'planner.launch.py')
    }
    ours, planner = arguments[path.name], arguments['planner.launch.py']
    assert set(planner) <= set(ours)
    context = LaunchContext()
    for name in set(planner) - {'params_file'}:
        values = [
            ''.join(part.perform(context) for part in argument.default_value)
            for argument in (ours[name], planner[name])
        ]
        assert values[0] == values[1], name


@pytest.mark.timeout(4 * TIMEOUT)
def test_the_simulation_plans_for_a_captured_goal_and_ends_on_ctrl_c(simulation, tmp_path):
    rclpy = pytest.importorskip('rclpy')
    from std_srvs.srv import Trigger

    from vjepa_msgs.msg import Plan

    rclpy.init()
    node = rclpy.create_node('observer')
    try:

        def spin(condition: Callable[[], object]) -> Callable[[], object]:
            def check() -> object:
                rclpy.spin_once(node, timeout_sec=0.1)
                assert simulation.poll() is None, (tmp_path / 'simulation.log').read_text()
                return condition()

            return check

        def present() -> set[str]:
            names = node.get_node_names_and_namespaces()
            return {f'{namespace}/{name}' for name, namespace in names}

        plans: list[Plan] = []
        node.create_subscription(Plan, '/vjepa/plan', plans.append, 1)
        wait_until(spin(lambda: present() >= NODES), f'{NODES} on the graph')
        client = node.create_client(Trigger, '/vjepa/capture_goal')
        wait_until(spin(client.service_is_ready), 'service capture_goal')

        def captured() -> bool:
            future = client.call_async(Trigger.Request())
            wait_until(spin(future.done), 'answer of capture_goal')
            return future.result().success

        wait_until(captured, 'a captured goal')  # the encoder and the camera may still start
        wait_until(spin(lambda: plans), 'a plan')
        assert plans[0].header.frame_id == 'fr3_link0'
    finally:
        node.destroy_node()
        rclpy.try_shutdown()

    simulation.send_signal(signal.SIGINT)
    assert simulation.wait(TIMEOUT) == 0
    log = (tmp_path / 'simulation.log').read_text()
    assert log.count('process has finished cleanly') == len(NODES), log
