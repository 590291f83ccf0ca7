# SPDX-License-Identifier: Apache-2.0
"""Faults of what is measured of the arm, and of the clock."""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseStamped
import numpy as np
from proxy import changed, delayed, dropped, reordered
import pytest
from ros_graph import wait_until
from rosgraph_msgs.msg import Clock

from vjepa_msgs.msg import Status
from vjepa_ros import qos

POSE = (PoseStamped, 'current_pose', qos.ROBOT_STATE, qos.ROBOT_STATE_SOURCE)
CLOCK = (Clock, '/clock', qos.CLOCK, qos.CLOCK)
STATE_MAX_AGE = 0.3  # [s] as in conftest.py


@pytest.mark.case(11, 'measured poses stop while the arm moves', 'hold; resumes with them')
def test_case_11_stale_state(scene, reaction) -> None:
    scene.begin(POSE)
    scene.move()
    scene.proxy.spoil('current_pose', dropped)
    wait_until(lambda: 'current_pose' in scene.proxy.began, 'the fault')
    last = scene.proxy.last['current_pose']
    held = scene.wait_for(Status.HOLDING, 'no measured pose', since=last)
    reaction('too old to hold', held - last - STATE_MAX_AGE, 0.1)
    scene.assert_halted_near(scene.targets[-1][1], 0.005)
    scene.wait_for(Status.WAITING, 'no measured pose any more')
    rejected = scene.status.rejected
    scene.plan(*scene.step())
    wait_until(lambda: scene.status.rejected > rejected, 'refusal of a plan')
    scene.assert_still()
    scene.proxy.heal('current_pose')
    scene.wait_for_rest()
    scene.plan(*scene.step())
    scene.wait_for(Status.EXECUTING, since=time.monotonic() - 0.001)


@pytest.mark.case(11, 'measured poses arrive half a second late', 'never taken for fresh; hold')
def test_case_11_late_state(scene) -> None:
    scene.begin(POSE)
    scene.move()
    scene.proxy.spoil('current_pose', delayed(0.5))
    scene.wait_for(Status.WAITING, 'no measured pose any more')
    scene.assert_halted_near(scene.targets[-1][1], 0.005)
    scene.plan(*scene.step())
    scene.assert_still()


@pytest.mark.case(11, 'measured poses in another order', 'those that were overtaken do not count')
def test_case_11_reordered_state(scene) -> None:
    scene.begin(POSE)
    scene.proxy.spoil('current_pose', reordered(3))
    scene.move()
    scene.wait_for(Status.IDLE, since=time.monotonic())
    assert scene.status.rejected == 0


@pytest.mark.case(12, 'the measured pose jumps by 10 cm (TF)', 'hold the pose before; needs start')
def test_case_12_state_discontinuity(scene, reaction) -> None:
    scene.begin(POSE)
    scene.move()

    def jump(message: PoseStamped) -> None:
        message.pose.position.z += 0.1

    where = scene.position.copy()
    scene.proxy.spoil('current_pose', changed(jump))
    stopped = scene.wait_for(Status.STOPPED, 'state discontinuity')
    reaction('jump to hold', stopped - scene.proxy.began['current_pose'], 0.1)
    assert scene.targets[-1][1][2] < where[2] + 0.01, 'the jump is not followed'
    scene.assert_halted_near(where, 0.05)
    scene.plan(*scene.step())
    scene.assert_still()
    scene.proxy.heal('current_pose')
    scene.wait(0.3)
    scene.restart()


@pytest.mark.case(15, 'NaN in the measured pose', 'hold the last good pose; needs start')
@pytest.mark.parametrize('number', [float('nan'), float('inf')])
def test_case_15_state_is_no_number(scene, reaction, number) -> None:
    scene.begin(POSE)
    scene.move()

    def spoil(message: PoseStamped) -> None:
        message.pose.position.y = number

    where = scene.position.copy()
    scene.proxy.spoil('current_pose', changed(spoil))
    stopped = scene.wait_for(Status.STOPPED, 'finite numbers')
    reaction('NaN to hold', stopped - scene.proxy.began['current_pose'], 0.1)
    assert np.isfinite(scene.targets[-1][1]).all()
    scene.assert_halted_near(where, 0.05)
    scene.proxy.heal('current_pose')
    scene.wait(0.3)
    scene.assert_still()
    scene.restart()


@pytest.mark.case(36, '/clock jumps back by a minute', 'hold, forget what was measured; start')
def test_case_36_clock_jumps_back(scene, reaction) -> None:
    simulated(scene)
    scene.wait_for_rest()
    scene.graph.wait_until(lambda: scene.poses[-1][0] - scene.poses[0][0] > 1.0, 'a second')
    scene.proxy.spoil('/clock', changed(lambda message: shift(message, -1)))
    stopped = scene.wait_for(Status.STOPPED, 'the clock jumped back')
    reaction('jump to stop', stopped - scene.proxy.began['/clock'], 0.1)
    scene.plan(*scene.step())
    scene.assert_still()


@pytest.mark.case(36, '/clock stops and goes on', 'no alarm; the motion waits and goes on')
def test_case_36_clock_pauses(scene) -> None:
    simulated(scene)
    scene.wait_for_rest()
    scene.proxy.spoil('/clock', dropped)
    scene.wait(1.0)
    assert scene.status.state == Status.IDLE
    scene.assert_still()
    # The simulation went on meanwhile: what is measured seems to come from the future.
    scene.proxy.heal('/clock')
    scene.wait(0.5)
    assert scene.status.state in (Status.IDLE, Status.WAITING)


@pytest.mark.case(36, '/clock jumps ahead by a minute', 'measurements are old: hold, no motion')
def test_case_36_clock_jumps_ahead(scene) -> None:
    simulated(scene)
    scene.wait_for_rest()
    scene.proxy.spoil('/clock', changed(lambda message: shift(message, 60)))
    wait_until(lambda: scene.status.state in (Status.WAITING, Status.STOPPED), 'hold')
    scene.plan(*scene.step())
    scene.assert_still()


def simulated(scene) -> None:
    """Begin a scene in simulated time, which reaches the commander through the proxy."""
    scene.begin(CLOCK, simulator={'publish_clock': True}, commander={'use_sim_time': True})


def shift(message: Clock, seconds: int) -> None:
    message.clock.sec = max(0, message.clock.sec + seconds)
