# SPDX-License-Identifier: Apache-2.0
"""vjepa doctor against the nodes and the simulator, healthy and with one fault at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import threading
import time

from geometry_msgs.msg import PoseStamped
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_planner.health import Finding, Level
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.nodes import patient_parameters, start_nodes
from vjepa_ros.child_nodes.processes import NodeProcesses
from vjepa_ros.doctor.environment import check_environment
from vjepa_ros.doctor.graph import check_graph, DoctorConfig

pytest.importorskip('mujoco')

COMMAND_LINE = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


def examine(**config) -> dict[str, Finding]:
    """Return what the doctor finds, by check."""
    findings = check_graph(DoctorConfig(seconds=config.pop('seconds', 1.0), **config))
    return {finding.check: finding for finding in findings}


def failures(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: one.found for name, one in findings.items() if one.level is Level.FAIL}


@pytest.fixture(scope='module')
def suite(tiny_model, tmp_path_factory) -> Iterator[None]:
    """Let the simulator and our four nodes run, each a process."""
    folder = tmp_path_factory.mktemp('logs')
    parameters = patient_parameters(str(tiny_model), 'torch', 'cpu', 'float32')
    parameters['simulator']['image_size'] = 64
    with NodeProcesses(folder) as processes:
        start_nodes(processes, parameters, folder / 'parameters.yaml')
        deadline = time.monotonic() + 90.0
        while found := failures(examine()):
            processes.check()
            assert time.monotonic() < deadline, found
        yield


class Intruder:
    """A node of somebody else, in a context of its own, which ends without a trace."""

    def __init__(self, name: str = 'intruder', namespace: str = '', **parameters) -> None:
        self._context = Context()
        self._context.init()
        overrides = [Parameter(key, value=value) for key, value in parameters.items()]
        self.node = Node(
            name, namespace=namespace, context=self._context, parameter_overrides=overrides
        )
        for key in set(parameters) - {'use_sim_time'}:
            self.node.declare_parameter(key, parameters[key])
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._end.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def publish(self, message, topic: str, rate: float, profile=qos.CAMERA) -> None:
        """Publish a message again and again, stamped anew if it has a stamp of now."""
        publisher = self.node.create_publisher(type(message), topic, profile)
        fresh = message.header.stamp.sec == 0

        def publish() -> None:
            if fresh:
                message.header.stamp = self.node.get_clock().now().to_msg()
            publisher.publish(message)

        self.node.create_timer(1.0 / rate, publish)

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


@contextmanager
def intruder(*args, **parameters) -> Iterator[Intruder]:
    one = Intruder(*args, **parameters)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def picture(camera_image) -> Image:
    return conversions.image_to_message(camera_image.repeat(2, 0).repeat(2, 1), Header())


def test_a_healthy_graph_has_nothing_that_fails(suite) -> None:
    findings = examine()
    assert failures(findings) == {}
    for check in ('camera', 'camera QoS', 'image', 'measured pose', 'base frame', 'commands'):
        assert findings[check].level is Level.OK, findings[check]
    for check in ('joint states', 'finger joints', 'controller input', 'gripper', 'clocks'):
        assert findings[check].level is Level.OK, findings[check]
    assert findings['commander'].found.endswith('call the service start')
    assert findings['image'].found == '64 x 64 rgb8'
    assert findings['controllers'].level is Level.SKIPPED


def test_missing_nodes_are_named(suite) -> None:
    findings = examine(namespace='elsewhere')
    assert findings['nodes'].level is Level.FAIL
    assert 'missing in /elsewhere: encoder, goal, planner, commander' in findings['nodes'].found
    assert findings['other suites'].level is Level.WARN
    assert '/vjepa' in findings['other suites'].found


def test_a_camera_that_nobody_publishes(suite) -> None:
    finding = examine(image_topic='/nothing')['camera']
    assert (finding.level, finding.found) == (Level.FAIL, 'nobody publishes /nothing')
    assert '--image-topic' in finding.advice


def test_a_camera_that_says_nothing(suite) -> None:
    with intruder() as one:
        one.node.create_publisher(Image, '/silent', qos.CAMERA)
        finding = examine(image_topic='/silent')['camera']
    assert finding.level is Level.FAIL
    assert 'intruder on /silent sent nothing' in finding.found


def test_an_old_image_and_one_from_the_future(suite, picture) -> None:
    for offset in (-3, 3):
        picture.header.stamp.sec = int(time.time()) + offset
        with intruder() as one:
            one.publish(picture, '/shifted', 5.0)
            finding = examine(image_topic='/shifted')['camera']
        assert finding.level is Level.FAIL
        assert 'ms old' in finding.found
        assert 'clocks' in finding.advice


def test_a_slow_camera_and_a_second_one(suite, picture) -> None:
    with intruder() as one:
        one.publish(picture, '/slow', 0.7)
        finding = examine(image_topic='/slow', seconds=4.0)['camera']
        assert finding.level is Level.WARN
        assert 'Raise its rate' in finding.advice
        one.publish(picture, '/vjepa/image', 5.0)
        finding = examine()['camera']
    assert finding.level is Level.WARN
    assert 'from 2 publishers' in finding.found


def test_an_encoding_that_the_encoder_does_not_take(suite, picture) -> None:
    picture.encoding = '16UC1'
    with intruder() as one:
        one.publish(picture, '/depth', 5.0)
        finding = examine(image_topic='/depth')['image']
    assert (finding.level, finding.found) == (Level.FAIL, '128 x 96 16UC1')
    assert 'rgb8 or bgr8' in finding.expected


def test_a_camera_with_an_incompatible_qos(suite, picture) -> None:
    with intruder() as one:
        one.publish(picture, '/best_effort', 5.0, qos.IMAGE)
        one.node.create_subscription(Image, '/best_effort', lambda _: None, qos.CAMERA)
        finding = examine(image_topic='/best_effort')['camera QoS']
    assert finding.level is Level.FAIL
    assert 'reliab' in finding.found.lower()
    assert 'qos_overrides./best_effort.subscription.reliability' in finding.advice


def test_poses_in_another_frame(suite) -> None:
    with intruder() as one:
        one.publish(PoseStamped(header=Header(frame_id='world')), '/pose', 50.0)
        finding = examine(pose_topic='/pose')['base frame']
    assert finding.level is Level.FAIL
    assert finding.found == "poses are in 'world'"
    assert finding.expected == "'fr3_link0'"


def test_joint_states_without_the_fingers_and_from_two_sources(suite) -> None:
    from sensor_msgs.msg import JointState

    with intruder() as one:
        one.publish(JointState(name=['arm'], position=[0.0]), '/joint_states', 200.0)
        findings = examine()
    assert findings['joint states'].level is Level.WARN
    assert 'from 2 publishers' in findings['joint states'].found


def test_a_second_publisher_of_commands(suite) -> None:
    with intruder() as one:
        one.node.create_publisher(PoseStamped, '/vjepa/target_pose', qos.COMMAND)
        finding = examine()['commands']
    assert finding.level is Level.FAIL
    assert '/intruder, /vjepa/commander' in finding.found


def test_commands_that_nobody_follows(suite) -> None:
    finding = examine(target_topic='/nobody')['controller input']
    assert finding.level is Level.FAIL
    assert '/nobody is followed by nobody' in finding.found


def test_a_gripper_that_is_elsewhere_beside_another_suite(suite) -> None:
    with intruder('commander', 'bare', gripper='auto', gripper_namespace='hand'):
        findings = examine(namespace='bare')
    assert findings['gripper'].level is Level.FAIL
    assert 'no action below /bare/hand' in findings['gripper'].found
    assert '/vjepa/franka_gripper/move' in findings['gripper'].found
    assert findings['other suites'].level is Level.WARN


def test_simulated_time_without_a_clock(suite) -> None:
    with intruder('planner', 'timeless', use_sim_time=True):
        finding = examine(namespace='timeless')['clocks']
    assert finding.level is Level.FAIL
    assert finding.found == 'planner with use_sim_time, /clock is not published'


def test_two_commanders_in_one_namespace(suite) -> None:
    with intruder('commander', 'twins'), intruder('commander', 'twins'):
        finding = examine(namespace='twins')['other suites']
    assert finding.level is Level.FAIL


def test_an_e_stop_and_what_to_do_about_it(suite) -> None:
    with intruder() as one:

        def call(name: str) -> None:
            client = one.node.create_client(Trigger, f'/vjepa/{name}')
            assert client.wait_for_service(10.0)
            client.call_async(Trigger.Request())

        call('e_stop')
        findings = examine()
        call('release_e_stop')
        time.sleep(0.5)
    assert findings['commander'].level is Level.WARN
    assert 'release_e_stop' in findings['commander'].advice
    assert '/vjepa/commander' in findings['diagnostics'].found


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, '-c', COMMAND_LINE, 'doctor', *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**os.environ, **environment}
    )


def test_the_command_prints_every_finding_and_writes_them(suite, tmp_path: Path) -> None:
    file = tmp_path / 'doctor.json'
    result = run('--only', 'ros', 'graph', '--seconds', '2', '--json', str(file))
    assert result.returncode == 0, result.stdout + result.stderr
    content = json.loads(file.read_text())
    assert content['healthy'] is True
    assert {check['check'] for check in content['checks']} >= {'rclpy', 'camera', 'commands'}
    assert len(result.stdout.splitlines()) > 15
    sick = run('--only', 'graph', '--image-topic', '/nothing', '--json', str(file))
    assert sick.returncode == 1
    assert json.loads(file.read_text())['healthy'] is False
    assert 'expected: one publisher' in sick.stdout


@pytest.mark.parametrize(
    ('variable', 'value', 'check', 'level'),
    [
        ('ROS_DOMAIN_ID', '999', 'domain', Level.FAIL),
        ('ROS_DOMAIN_ID', 'seven', 'domain', Level.FAIL),
        ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'HOUSE', 'discovery', Level.FAIL),
        ('FASTRTPS_DEFAULT_PROFILES_FILE', '', 'shared memory', Level.WARN),
        ('FASTRTPS_DEFAULT_PROFILES_FILE', '/no/such/file.xml', 'shared memory', Level.WARN),
        ('RMW_IMPLEMENTATION', 'rmw_nothing', 'middleware', Level.FAIL),
    ],
)
def test_a_wrong_environment_is_named(monkeypatch, variable, value, check, level) -> None:
    assert {one.level for one in check_environment()} == {Level.OK}
    monkeypatch.setenv(variable, value)
    found = {one.check: one for one in check_environment()}[check]
    assert found.level is level
    assert found.advice


def test_a_wrong_middleware_ends_in_words_and_not_in_the_process() -> None:
    result = run('--only', 'ros', 'graph', RMW_IMPLEMENTATION='rmw_nothing')
    assert result.returncode == 1
    assert 'rmw_nothing' in result.stdout
    assert 'ROS is not in order' in result.stdout
