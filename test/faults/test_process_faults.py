# SPDX-License-Identifier: Apache-2.0
"""Processes that are suspended, killed, ended and started again. All signals are real ones."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from ros_graph import wait_until
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status

LEASE = 25.0  # [s] after which DDS forgets a participant that was killed, and some time more


@pytest.fixture
def apart(scene):
    scene.apart = True
    scene.begin()
    return scene


@pytest.mark.case(34, 'commander SIGSTOP for 2 s while the arm moves', 'hold; nothing is flushed')
def test_case_34_commander_suspended(apart, reaction) -> None:
    apart.move()
    process, accepted = apart.processes[0], apart.status.accepted
    process.send_signal(signal.SIGSTOP)
    apart.wait(0.5)
    where, count = apart.position.copy(), len(apart.targets)
    for _ in range(3):
        apart.plan(*apart.step())
        apart.wait(0.5)
    apart.assert_still(0.1)
    went_on = time.monotonic()
    process.send_signal(signal.SIGCONT)
    held = apart.wait_for(Status.HOLDING, since=went_on)
    reaction('SIGCONT to hold', held - went_on, 0.1)
    apart.wait(0.5)
    assert len(apart.targets) <= count + 2, 'a hold, and no burst of old targets'
    assert np.linalg.norm(apart.position - where) < 0.02
    assert apart.status.accepted == accepted, 'no plan from meanwhile'


@pytest.mark.case(
    34, 'commander SIGKILL while the arm moves, restart', 'stops; start moves < 1 mm'
)
def test_case_34_commander_killed(apart, record_property) -> None:
    apart.move()
    apart.processes[0].kill()
    killed = time.monotonic()
    apart.wait(0.7)
    where = apart.position.copy()
    apart.assert_still(0.5)
    apart.start_process('commander', autostart=False)
    apart.wait_for(Status.STOPPED, 'not started', since=killed)
    apart.plan(*apart.step())
    apart.assert_still(1.0)
    # Until DDS has forgotten the one that was killed, there seem to be two.
    wait_until(lambda: apart.call('start').success, 'start', LEASE)
    record_property('measured', f'start possible after {time.monotonic() - killed:.1f} s')
    apart.wait_for_rest()
    assert_not_moved(apart, where, record_property)
    apart.plan(*apart.step())
    apart.wait_for(Status.EXECUTING, since=killed)


@pytest.mark.case(34, 'commander ended and restarted with autostart', 'restart moves < 1 mm')
def test_case_34_commander_restarted(apart, record_property) -> None:
    apart.move()
    apart.processes[0].send_signal(signal.SIGTERM)
    assert apart.processes[0].wait(20.0) == 0
    apart.wait_for_standstill()
    where, ended = apart.position.copy(), time.monotonic()
    apart.start_process('commander', autostart=True)
    apart.wait_for(Status.IDLE, since=ended)
    apart.assert_still(0.3)
    assert_not_moved(apart, where, record_property)


def assert_not_moved(scene, where: np.ndarray, record_property) -> None:
    """Record and check how far the arm is from where it was."""
    moved = float(np.linalg.norm(scene.position - where))
    record_property('measured', f'the arm moved by {moved * 1e3:.2f} mm (promised 1)')
    assert moved < 0.001


@pytest.mark.case(40, 'e_stop of the commander process while the arm moves', 'within 40 ms')
def test_case_40_emergency_stop_of_a_process(apart, reaction) -> None:
    apart.move()
    client = apart.graph.observer.create_client(Trigger, 'e_stop')
    wait_until(client.service_is_ready, 'e_stop')
    called = time.monotonic()
    client.call_async(Trigger.Request())
    reaction('call to last target, the hold', apart.hold_time(called), 0.04)
    motion = [when for when, _ in apart.targets[:-1]]
    reaction('call to last motion target', max(0.0, motion[-1] - called), 0.04)
    apart.wait_for(Status.E_STOPPED)


@pytest.mark.case(
    39, 'SIGINT or SIGTERM while the arm moves', 'hold is published; exit code 0, < 5 s'
)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_case_39_ended(apart, reaction, number) -> None:
    apart.move()
    process = apart.processes[0]
    where, sent = apart.position.copy(), time.monotonic()
    process.send_signal(number)
    assert process.wait(20.0) == 0
    reaction('signal to end of the process', time.monotonic() - sent, 5.0)
    apart.wait_for(Status.STOPPED, 'the commander has ended')
    apart.assert_halted_near(where, 0.08)  # executors look for signals every 0.2 s
    assert np.linalg.norm(apart.targets[-1][1] - apart.position) < 0.005, 'the hold was published'


@pytest.mark.case(40, 'commander killed and restarted after e_stop', 'stopped until start')
def test_case_40_survives_a_restart(apart) -> None:
    apart.wait_for_rest()
    assert apart.call('e_stop').success
    apart.processes[0].kill()
    killed = time.monotonic()
    apart.start_process('commander', autostart=False)
    apart.wait_for(Status.STOPPED, 'not started', since=killed)
    apart.plan(*apart.step())
    apart.assert_still()


@pytest.mark.case(34, 'the simulator (robot driver) SIGSTOP for 2 s', 'hold; resumes with it')
@pytest.mark.skip(
    reason='the simulator runs inside these tests; case 11 is what the commander sees'
)
def test_case_34_driver_suspended() -> None: ...


@pytest.mark.case(32, 'controller inactive, reflex, user stop', 'needs recovery and start')
@pytest.mark.skip(reason='needs a controller manager and an arm; case 33 is what follows from it')
def test_case_32_controller_inactive() -> None: ...
