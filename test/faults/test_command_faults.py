# SPDX-License-Identifier: Apache-2.0
"""Faults on the way from the commander to the arm, and what an operator does."""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseStamped
import numpy as np
from proxy import dropped
import pytest
from rclpy.parameter import Parameter
from ros_graph import wait_until
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_ros import qos

BUSY_TICKS = 2.5  # a late tick makes up for at most 50 ms
TARGET = (PoseStamped, 'target_pose', qos.COMMAND, qos.COMMAND)


@pytest.mark.case(31, 'a second publisher of targets appears', 'hold, names in the status; start')
def test_case_31_second_publisher(scene, reaction) -> None:
    scene.begin()
    scene.move()
    observer = scene.graph.observer
    appeared = time.monotonic()
    intruder = observer.create_publisher(PoseStamped, 'target_pose', qos.COMMAND)
    stopped = scene.wait_for(Status.STOPPED, 'Only the commander may')
    reaction('publisher to hold, discovery included', stopped - appeared, 0.1)
    assert '/vjepa/observer' in scene.status.reason
    where = scene.position.copy()
    scene.assert_halted_near(where, 0.02)
    refused = scene.call('start')
    assert not refused.success
    assert '/vjepa/observer' in refused.message
    observer.destroy_publisher(intruder)
    wait_until(lambda: scene.call('start').success, 'start, once it is alone again')


@pytest.mark.case(
    33, 'the arm is blocked: it does not follow its targets', 'hold where it is; start'
)
def test_case_33_tracking_error(scene, reaction) -> None:
    scene.begin(TARGET, to='simulator')
    scene.wait_for_rest()
    scene.proxy.spoil('target_pose', dropped)
    where = scene.position.copy()
    scene.plan(*scene.step())
    stopped = scene.wait_for(Status.STOPPED, 'blocked?')
    targets = np.array([position for _, position in scene.targets])
    distances = np.linalg.norm(targets - where, axis=1)
    assert distances.max() <= 0.1 + 0.001, 'no target is farther away than the limit'
    assert distances[-1] < 0.001, 'the hold is where the arm is'
    beyond = scene.targets[-2][0]
    reaction('last target within the limit to hold', stopped - beyond, 0.1)
    for _ in range(3):
        scene.plan(*scene.step())
    scene.assert_still()
    scene.proxy.heal('target_pose')
    scene.restart()


@pytest.mark.case(33, 'the arm is blocked again and again', 'targets do not wander away from it')
def test_case_33_no_accumulation(scene) -> None:
    scene.begin(TARGET, to='simulator', commander={'settle_timeout': 0.3})
    scene.wait_for_rest()
    scene.proxy.spoil('target_pose', dropped)
    where = scene.position.copy()
    for _ in range(4):
        scene.plan(0.0, 0.03, 0.0)  # less than what counts as blocked
        scene.wait(0.5)
        scene.wait_for(Status.HOLDING, 'did not settle', since=time.monotonic() - 0.5)
        scene.wait_for_rest()
    targets = np.array([position for _, position in scene.targets])
    assert np.linalg.norm(targets - where, axis=1).max() < 0.031


@pytest.mark.case(40, 'e_stop while the arm moves', 'hold within 40 ms; latched')
def test_case_40_emergency_stop(scene, reaction) -> None:
    scene.begin()
    scene.move()
    client = scene.graph.observer.create_client(Trigger, 'e_stop')
    wait_until(client.service_is_ready, 'e_stop')
    where, called = scene.position.copy(), time.monotonic()
    client.call_async(Trigger.Request())
    scene.wait_for(Status.E_STOPPED, 'release_e_stop')
    reaction('call to last target', scene.hold_time(called), 0.04)
    scene.assert_halted_near(where, 0.04)
    assert not scene.call('start').success
    assert scene.call('stop').success
    scene.plan(*scene.step())
    scene.assert_still()
    assert scene.status.state == Status.E_STOPPED
    assert scene.call('release_e_stop').success
    scene.plan(*scene.step())
    scene.assert_still()
    scene.restart()


@pytest.mark.case(40, 'e_stop at rest, while stopped, while holding', 'latched in every state')
def test_case_40_emergency_stop_in_every_state(scene) -> None:
    scene.begin()
    scene.wait_for_rest()

    def nothing() -> None:
        pass

    def hold() -> None:
        scene.plan(5.0, 0.0, 0.0)
        scene.wait_for(Status.HOLDING, since=time.monotonic() - 0.01)

    for prepare in (nothing, hold, lambda: scene.call('stop')):
        prepare()
        assert scene.call('e_stop').success
        assert not scene.call('start').success
        scene.assert_still(0.3)
        assert scene.call('release_e_stop').success
        assert scene.call('start').success
        scene.wait_for_rest()


@pytest.mark.case(40, 'stop at full speed', 'the arm halts within 2 cm')
def test_case_40_halt_distance(scene, record_property) -> None:
    scene.begin(commander={'max_acceleration': 3.0})
    scene.wait_for_rest()
    start = scene.position.copy()
    scene.plan(*(2.0 * np.array(scene.step())))
    wait_until(lambda: speed(scene) > 0.23, 'full speed')
    assert np.linalg.norm(scene.position - start) > 0.03
    scene.call('stop')
    time.sleep(1.0)
    held, hold = scene.targets[-1]  # the pose that was measured at that moment
    path = np.array([position for when, position, _ in scene.poses if when >= held])
    overshoot = float(np.linalg.norm(path - hold, axis=1).max())
    record_property('measured', f'halt distance {overshoot * 1e3:.0f} mm (promised 20)')
    assert overshoot <= 0.02


@pytest.mark.case(37, 'a limit is lowered while the arm moves', 'the motion ends in a hold')
def test_case_37_parameters(scene, reaction) -> None:
    scene.begin()
    scene.move()
    node = scene.commander
    assert not node.set_parameters([Parameter('max_speed', value=50.0)])[0].successful
    assert not node.set_parameters([Parameter('max_speed', value='fast')])[0].successful
    odd = [Parameter('max_speed', value=0.1), Parameter('workspace_min', value=[1.0, 0.0, 0.0])]
    assert not node.set_parameters_atomically(odd).successful
    assert node.get_parameter('max_speed').value == 0.25
    assert scene.status.state == Status.EXECUTING
    lowered = time.monotonic()
    assert node.set_parameters([Parameter('max_speed', value=0.05)])[0].successful
    reaction('parameter to last target', scene.hold_time(lowered), 0.1)
    scene.wait_for(Status.HOLDING, 'a limit was lowered')
    scene.wait_for_rest()
    count = len(scene.targets)
    scene.plan(0.0, 0.02, 0.0)
    scene.wait_for(Status.IDLE, since=time.monotonic())
    positions = np.array([position for _, position in scene.targets[count:]])
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() <= 0.05 / 50 * BUSY_TICKS


def speed(scene) -> float:
    """Return the measured speed over the last 0.1 s [m/s]."""
    newest = scene.poses[-1]
    before = next(pose for pose in reversed(scene.poses) if newest[0] - pose[0] > 0.1)
    return float(np.linalg.norm(newest[1] - before[1])) / (newest[0] - before[0])


@pytest.mark.case(18, 'the arm is elsewhere than where it was sent', 'starts where it is')
def test_case_18_first_target(scene, record_property) -> None:
    scene.begin()
    scene.move()
    scene.wait_for(Status.IDLE, since=time.monotonic())
    assert scene.call('reset').success, 'of the simulator: the arm is put elsewhere'
    scene.wait_for(Status.STOPPED, 'state discontinuity')
    scene.wait(0.3)
    count = len(scene.targets)
    scene.restart()
    measured = scene.position.copy()
    wait_until(lambda: len(scene.targets) > count, 'a target')
    distance = float(np.linalg.norm(scene.targets[count][1] - measured))
    record_property('measured', f'first target {distance * 1e3:.2f} mm away (promised 1)')
    assert distance < 0.001
