# SPDX-License-Identifier: Apache-2.0
"""The commander before a simulated arm, with a fault proxy wherever a test wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vjepa_msgs', reason='make builds it')
pytest.importorskip('mujoco')

sys.path.insert(0, str(Path(__file__).parent))  # `proxy`, for the tests of this folder

from geometry_msgs.msg import PoseStamped
from proxy import FaultProxy, PREFIX
from ros_graph import Graph, make_tiny_model, ros_arguments, wait_until
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Plan, Status
from vjepa_ros import conversions, qos
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.simulator_node import SimulatorNode

BUSY = 4.0
"""Times that are asserted are this much longer than those that are promised: the machine of a test
runs other things, and nodes, observer and simulator share one Python process. What was measured is
recorded as it is."""

FINGERS = ('fr3_finger_joint1', 'fr3_finger_joint2')
# Ages are those of an arm that people stand next to, but for the speed of a busy machine.
COMMANDER = {
    'autostart': True,
    'gripper': 'none',
    'state_max_age': 0.3,
    'plan_max_age': 2.0,
    'max_tracking_error': 0.1,
    'workspace_min': [0.3, -0.3, 0.04],
    'workspace_max': [0.7, 0.3, 0.5],
}
SIMULATOR = {'image_size': 32, 'image_rate': 0.1}


@pytest.fixture(autouse=True)
def _case(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Record what a test's marker says of it: tools/fault_table.py makes a table of it."""
    marker = request.node.get_closest_marker('case')
    assert marker is not None, 'a test here has @pytest.mark.case(number, fault, expected)'
    for name, value in zip(('case', 'fault', 'expected'), marker.args, strict=True):
        record_property(name, value)


@pytest.fixture
def reaction(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Record how long a reaction took, and fail if that is far beyond what is promised."""

    def record(what: str, seconds: float, promised: float) -> None:
        record_property(
            'measured', f'{what} {seconds * 1e3:.0f} ms (promised {promised * 1e3:.0f})'
        )
        assert seconds <= promised * BUSY, f'{what} took {seconds:.3f} s, promised: {promised:g} s'

    return record


class Scene:
    """The graph with simulator and commander on it, and what they publish with its times."""

    def __init__(self, folder: Path) -> None:
        self.graph = Graph(folder)
        self.apart = False  # whether the commander is a process of its own
        self.processes: list[subprocess.Popen] = []
        self._folder = folder
        self.proxy: FaultProxy | None = None
        self.targets: list[tuple[float, np.ndarray]] = []  # steady time [s], position [m]
        self.poses: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.said: list[tuple[float, Status]] = []  # what the commander says
        self.closedness = 0.0

    def begin(
        self, *relayed: tuple[Any, str, Any, Any], to: str = 'commander', **parameters: Any
    ) -> None:
        """Start everything.

        Args:
            relayed: Message, topic and the two qualities of service of what goes through a proxy.
            to: The node that is behind the proxy.
            parameters: Of nodes, by name, beyond those above.
        """
        rules = [f'{to}:{topic}:={_faulty(topic)}' for _, topic, _, _ in relayed]
        parameters['commander'] = {**COMMANDER, **parameters.get('commander', {})}
        self.parameters = parameters
        parameters['simulator'] = {**SIMULATOR, **parameters.get('simulator', {})}
        self.graph.begin(*rules, **parameters)
        observer = self.graph.observer
        observer.create_subscription(PoseStamped, 'target_pose', self._take_target, qos.COMMAND)
        observer.create_subscription(PoseStamped, 'current_pose', self._take_pose, qos.ROBOT_STATE)
        observer.create_subscription(
            JointState, '/joint_states', self._take_joints, qos.ROBOT_STATE
        )
        observer.create_subscription(Status, 'status', self._take_status, qos.ALL_STATUS)
        if relayed:
            self.proxy = FaultProxy()
            for one in relayed:
                self.proxy.relay(*one)
            self.graph.start(self.proxy)
        self.start_nodes()
        self.plans = self.graph.publisher(Plan, 'plan', qos.RESULT)
        wait_until(lambda: self.poses, 'measured poses')

    def start_nodes(self) -> None:
        """Start simulator and commander here; a test may do it elsewhere."""
        self.graph.start(SimulatorNode())
        if self.apart:
            self.start_process('commander')
        else:
            self.commander = CommanderNode()
            self.graph.start(self.commander)

    def start_process(self, name: str, **changes: Any) -> subprocess.Popen:
        """Start a node as a process, with its parameters and changes of them."""
        folder = self._folder / f'{name}_{len(self.processes)}'
        folder.mkdir()
        arguments = ros_arguments(folder, {name: {**self.parameters.get(name, {}), **changes}})
        code = f'import sys; from vjepa_ros.{name}_node import main; sys.exit(main())'
        process = subprocess.Popen([sys.executable, '-c', code, *arguments])
        self.processes.append(process)
        return process

    def close(self) -> None:
        # Not killed where it can be helped: what a killed process leaves in the shared memory of
        # DDS stays there, and the next process is then often discovered 3 s later.
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.graph.close()

    # -- what is seen --------------------------------------------------------------------------

    def _take_target(self, message: PoseStamped) -> None:
        self.targets.append((time.monotonic(), conversions.pose_from_message(message)[0]))

    def _take_pose(self, message: PoseStamped) -> None:
        self.poses.append((time.monotonic(), *conversions.pose_from_message(message)))

    def _take_joints(self, message: JointState) -> None:
        closedness = conversions.closedness_from_message(message, FINGERS)
        self.closedness = self.closedness if closedness is None else closedness

    def _take_status(self, message: Status) -> None:
        if message.node == 'commander':
            self.said.append((time.monotonic(), message))

    @property
    def status(self) -> Status:
        """What the commander said last."""
        return self.said[-1][1]

    @property
    def position(self) -> np.ndarray:
        """Where the arm really is."""
        return self.poses[-1][1]

    # -- what is done --------------------------------------------------------------------------

    def wait_for(self, state: int, reason: str = '', since: float = 0.0) -> float:
        """Return the steady time [s] at which the commander said that it is in a state."""

        def found() -> float | None:
            said = [
                when
                for when, status in list(self.said)
                if when >= since and status.state == state and reason in status.reason
            ]
            return said[0] if said else None

        try:
            return wait_until(found, f'state {state} because of {reason!r}', 20.0)
        except AssertionError as error:
            raise AssertionError(f'{error}; it is {self.status}') from None

    def wait_for_rest(self, *states: int) -> None:
        """Wait until a plan from an image of now would be taken."""
        states = states or (Status.IDLE, Status.HOLDING)
        wait_until(
            lambda: (
                self.said
                and self.status.state in states
                and self.status.settled != Status().settled
            ),
            'rest of the arm',
        )

    def plan(
        self,
        *translation: float,
        change: float = 0.0,
        closedness: float | None = None,
        **fields: object,
    ) -> Plan:
        """Send a plan from an image of now; ``fields`` replace those of the message."""
        _, position, quaternion = self.poses[-1]
        measured = self.closedness if closedness is None else closedness
        state = conversions.state_from_pose(position, quaternion, measured)
        actions = [*(translation or (0.0, 0.0, 0.0)), 0.0, 0.0, 0.0, change]
        message = Plan(horizon=1, actions=actions, state=state)
        message.header = Header(stamp=self.graph.now(), frame_id='fr3_link0')
        for name, value in fields.items():
            setattr(message, name, value)
        self.plans.publish(message)
        return message

    def step(self) -> tuple[float, float, float]:
        """Return a step of 12 cm towards the middle of the workspace."""
        return (0.0, -0.12 if self.position[1] > 0.0 else 0.12, 0.0)

    def move(self) -> None:
        """Let the arm begin a long step, and return when it goes at speed.

        On a busy machine a measurement may be late: the arm holds, and another step is planned.
        """
        self.wait_for_rest()
        start = self.position.copy()

        def goes() -> bool:
            if self.status.state != Status.EXECUTING and self.status.settled != Status().settled:
                answered = self.status.accepted + self.status.rejected
                self.plan(*self.step())
                wait_until(
                    lambda: self.status.accepted + self.status.rejected > answered, 'the plan'
                )
            return bool(np.linalg.norm(self.position - start) > 0.03)

        wait_until(goes, 'speed')

    def call(self, name: str) -> Trigger.Response:
        return self.graph.call(Trigger, name)

    def wait(self, seconds: float) -> None:
        """Let time pass in which something must not happen."""
        time.sleep(seconds)

    def hold_time(self, since: float) -> float:
        """Return how long after ``since`` the last target came, once no more come [s]."""
        count = -1
        while count != len(self.targets):
            count = len(self.targets)
            time.sleep(0.25)
        return self.targets[-1][0] - since

    def assert_halted_near(self, where: np.ndarray, distance: float) -> None:
        """Check that the arm comes to rest not far from where it was."""
        time.sleep(0.5)
        assert np.linalg.norm(self.position - where) <= distance

    def assert_still(self, seconds: float = 0.5, tolerance: float = 0.001) -> None:
        """Check that the arm stays where it is, and gets no target."""
        where, count = self.position.copy(), len(self.targets)
        time.sleep(seconds)
        assert len(self.targets) == count
        assert np.linalg.norm(self.position - where) < tolerance

    def wait_for_standstill(self) -> None:
        """Wait until the arm has not moved for a while."""

        def stands() -> bool:
            recent = [where for when, where, _ in self.poses if when > time.monotonic() - 0.3]
            return len(recent) > 3 and float(np.ptp(recent, axis=0).max()) < 0.0002

        wait_until(stands, 'an arm that stands')

    def restart(self) -> None:
        """Call start, and check that the arm does not move because of it."""
        where = self.position.copy()
        answer = self.call('start')
        assert answer.success, answer.message
        self.wait_for_rest()
        assert np.linalg.norm(self.position - where) < 0.001
        self.plan(*self.step())
        self.wait_for(Status.EXECUTING, since=time.monotonic() - 0.001)


def _faulty(topic: str) -> str:
    return f'/{PREFIX}{topic[1:]}' if topic.startswith('/') else PREFIX + topic


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a scene that has not begun yet."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model directory of random weights."""
    pytest.importorskip('torch')
    return make_tiny_model(tmp_path_factory.mktemp('models') / 'tiny')
