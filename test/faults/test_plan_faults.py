# SPDX-License-Identifier: Apache-2.0
"""Faults of what the planner sends, and of when it does."""

from __future__ import annotations

import time

import numpy as np
from proxy import delayed, dropped, duplicated, frozen, reordered
import pytest
from ros_graph import wait_until

from vjepa_msgs.msg import Plan, Status
from vjepa_ros import qos

PLAN = (Plan, 'plan', qos.RESULT, qos.RESULT)
NAN, INF = float('nan'), float('inf')
LOW, HIGH = np.array([0.3, -0.3, 0.04]), np.array([0.7, 0.3, 0.5])  # as in conftest.py
HOLD_ERROR = 0.003  # [m] a hold is where the arm is, which may be that far from its target


@pytest.mark.case(16, 'NaN or infinity in a plan', 'dropped; hold; a good plan goes on')
@pytest.mark.parametrize('moving', [False, True], ids=['at rest', 'moving'])
@pytest.mark.parametrize(
    'fields',
    [
        {'actions': [NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]},
        {'actions': [0.01, 0.0, 0.0, 0.0, 0.0, 0.0, INF]},
        {'state': np.full(7, NAN)},
    ],
    ids=['action', 'gripper', 'state'],
)
def test_case_16_plan_is_no_number(scene, reaction, fields, moving) -> None:
    scene.begin()
    scene.wait_for_rest()
    if moving:
        scene.move()
    sent = time.monotonic()
    scene.plan(0.01, 0.0, 0.0, **fields)
    held = scene.wait_for(Status.HOLDING, 'NaN or infinity', since=sent)
    reaction('plan to hold', held - sent, 0.1)
    assert all(np.isfinite(position).all() for _, position in scene.targets)
    scene.wait_for_rest(Status.HOLDING)
    scene.plan(*scene.step())
    scene.wait_for(Status.EXECUTING, since=sent + 0.01)


@pytest.mark.case(17, 'steps too large or out of the workspace', 'cut and said, or refused')
def test_case_17_step_and_workspace(scene) -> None:
    scene.begin()
    rng = np.random.default_rng(17)
    for _ in range(4):
        scene.wait_for_rest()
        before = (scene.status.accepted, scene.status.rejected)
        direction = rng.normal(size=3)
        scene.plan(*(rng.uniform(0.1, 0.4) * direction / np.linalg.norm(direction)))
        wait_until(lambda b=before: (scene.status.accepted, scene.status.rejected) != b, 'answer')
    scene.wait_for_rest()
    scene.plan(0.0, 0.0, -scene.position[2])  # to the table, and into it
    wait_until(lambda: 'border of the workspace' in scene.status.reason, 'a cut that is said')
    scene.wait_for(Status.IDLE, since=time.monotonic())
    scene.plan(0.31, 0.0, 0.0)
    scene.wait_for(Status.HOLDING, 'too large a jump')
    positions = np.array([position for _, position in scene.targets])
    assert (positions >= LOW - HOLD_ERROR).all()
    assert (positions <= HIGH + HOLD_ERROR).all()


@pytest.mark.case(19, 'the planner hangs', 'the motion ends, the arm rests; services answer')
def test_case_19_planner_hangs(scene, reaction) -> None:
    scene.begin(PLAN)
    scene.move()
    scene.proxy.spoil('plan', dropped)
    scene.wait_for(Status.IDLE, since=time.monotonic())
    for name in ('stop', 'start'):
        called = time.monotonic()
        assert scene.call(name).success
        reaction(f'answer of {name}', time.monotonic() - called, 0.1)
    scene.wait_for_rest()
    scene.plan(*scene.step())
    scene.assert_still()


@pytest.mark.case(19, 'streaming: plans stay away', 'the motion ends, then hold at plan_max_age')
def test_case_19_streaming(scene, reaction) -> None:
    scene.begin(PLAN, commander={'mode': 'streaming', 'plan_max_age': 1.0})
    scene.wait_for_rest()
    for _ in range(4):
        last = time.monotonic()
        scene.plan(0.02, 0.0, 0.0)
        scene.wait(0.15)
    assert scene.status.state == Status.EXECUTING
    held = scene.wait_for(Status.HOLDING, 'no plan from an image of the last 1 s', since=last)
    reaction('plan_max_age to hold', held - last - 1.0, 0.1)


@pytest.mark.case(24, 'the goal is swapped while the arm moves', 'the motion ends; no mixture')
def test_case_24_goal_swapped(scene) -> None:
    scene.begin()
    scene.wait_for_rest()
    start = scene.position.copy()
    y = scene.step()[1]
    scene.plan(0.0, y, 0.0, goal_id='old')
    wait_until(lambda: len(scene.targets) > 10, 'motion')
    scene.plan(0.05, 0.0, 0.0, goal_id='new')  # planned without waiting for the arm
    scene.wait_for(Status.IDLE, since=time.monotonic())
    np.testing.assert_allclose(scene.targets[-1][1], start + np.array([0.0, y, 0.0]), atol=1e-3)
    assert scene.status.goal_id == 'old'
    scene.wait_for_rest()
    scene.plan(0.0, -y, 0.0, goal_id='new')
    scene.wait_for(Status.EXECUTING, since=time.monotonic() - 0.001)
    wait_until(lambda: scene.status.goal_id == 'new', 'the new goal')


@pytest.mark.case(
    24, 'streaming: the goal is swapped while the arm moves', 'no jump of the target'
)
def test_case_24_streaming(scene) -> None:
    scene.begin(commander={'mode': 'streaming'})
    scene.wait_for_rest()
    scene.plan(*scene.step(), goal_id='old')
    wait_until(lambda: len(scene.targets) > 15, 'motion')
    scene.plan(0.06, 0.0, 0.0, goal_id='new')
    wait_until(lambda: scene.status.goal_id == 'new', 'the new goal')
    scene.wait_for(Status.IDLE, since=time.monotonic())
    positions = np.array([position for _, position in scene.targets])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert steps.max() <= 0.25 * 0.05 + 1e-6
    # Of the acceleration limit, for ticks of 20 ms or, on a busy machine, up to 50 ms.
    assert np.linalg.norm(np.diff(positions, n=2, axis=0), axis=1).max() <= 0.25 * 0.05


@pytest.mark.case(35, 'plans arrive twice', 'the second copy does not move the arm')
def test_case_35_duplicated_plans(scene) -> None:
    scene.begin(PLAN)
    scene.wait_for_rest()
    scene.proxy.spoil('plan', duplicated(3, spacing=0.6))
    start = scene.position.copy()
    y = scene.step()[1] / 2
    scene.plan(0.0, y, 0.0)
    scene.wait(1.8)
    assert scene.status.accepted == 1
    np.testing.assert_allclose(scene.position, start + np.array([0.0, y, 0.0]), atol=0.006)


@pytest.mark.case(35, 'plans arrive late, again, or in another order', 'old ones are refused')
@pytest.mark.parametrize(
    'fault',
    [delayed(2.5), frozen(), reordered(2)],
    ids=['late', 'an old one under a new stamp', 'turned round'],
)
def test_case_35_old_plans(scene, fault) -> None:
    scene.begin(PLAN)
    scene.wait_for_rest()
    if 'frozen' in fault.__qualname__:
        scene.proxy.spoil('plan', fault)
        scene.move()
        scene.wait_for(Status.IDLE, since=time.monotonic())
        scene.wait_for_rest()
        scene.plan(0.0, 0.0, 0.02)  # arrives as the one of before, from where that began
        scene.wait_for(Status.HOLDING, 'from where the plan starts')
        return
    scene.proxy.spoil('plan', fault)
    scene.plan(0.0, 0.0, 0.05)
    if 'delayed' in fault.__qualname__:
        scene.wait_for(Status.HOLDING, 'its image is 2.5')
        return
    scene.wait(0.1)
    scene.plan(0.0, 0.0, -0.03)
    scene.wait_for(Status.IDLE, since=time.monotonic())
    assert scene.status.accepted == 1
