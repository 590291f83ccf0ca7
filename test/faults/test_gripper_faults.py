# SPDX-License-Identifier: Apache-2.0
"""Faults of the gripper: its action servers and what the planner asks of it."""

from __future__ import annotations

from itertools import pairwise
import threading
import time

import pytest
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from ros_graph import wait_until

from vjepa_msgs.msg import Status
from vjepa_ros.node import VjepaNode

actions = pytest.importorskip('franka_msgs.action')

DWELL, TIMEOUT = 0.5, 1.0
GRIPPER = {
    'gripper': 'franka_msgs',
    'gripper_namespace': 'odd_gripper',
    'gripper_timeout': TIMEOUT,
    'gripper_dwell': DWELL,
}


class OddHand(VjepaNode):
    """Action servers of a gripper that do what a test wants."""

    threads = 6  # of which goals take several

    def __init__(self) -> None:
        super().__init__('odd_hand')
        self.accepts = True
        self.takes = 0.1  # [s] for a goal
        self.ends_when_cancelled = True
        self.goals: list[tuple[float, str, float]] = []  # steady time [s], action, width [m]
        self.running = self.at_once = 0
        self.cancelled = 0
        self._lock = threading.Lock()
        for name in ('Move', 'Grasp'):
            action = getattr(actions, name)
            ActionServer(
                self,
                action,
                f'odd_gripper/{name.lower()}',
                lambda handle, action=action: self._execute(handle, action),
                goal_callback=lambda goal, name=name: self._decide(goal, name),
                cancel_callback=self._cancel,
                callback_group=ReentrantCallbackGroup(),
            )

    def _decide(self, goal: object, name: str) -> GoalResponse:
        self.goals.append((time.monotonic(), name, goal.width))
        return GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT

    def _cancel(self, _handle: object) -> CancelResponse:
        self.cancelled += 1
        return CancelResponse.ACCEPT

    def _execute(self, handle: object, action: object) -> object:
        with self._lock:
            self.running += 1
            self.at_once = max(self.at_once, self.running)
        end = time.monotonic() + self.takes
        while time.monotonic() < end and not self.closing.is_set():
            if handle.is_cancel_requested and self.ends_when_cancelled:
                break
            time.sleep(0.01)
        with self._lock:
            self.running -= 1
        if handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.succeed()
        return action.Result(success=True)


@pytest.fixture
def hand(scene):
    scene.begin(commander=GRIPPER)
    hand = OddHand()
    scene.graph.start(hand)
    wait_until(lambda: scene.commander._gripper.is_connected, 'action servers')
    scene.wait_for_rest()
    return hand


def do(scene, change: float, *translation: float, closedness: float | None = None) -> float:
    """Let a step with a change of the gripper be carried out; return how long it took [s]."""
    scene.wait_for_rest()
    accepted, began = scene.status.accepted, time.monotonic()
    scene.plan(*translation, change=change, closedness=closedness)
    wait_until(
        lambda: scene.status.accepted > accepted and scene.status.state == Status.IDLE, 'a step'
    )
    return time.monotonic() - began


@pytest.mark.case(29, 'the gripper has no action server', 'the arm goes on; said in the log')
def test_case_29_absent(scene) -> None:
    scene.begin(commander=GRIPPER)
    scene.wait_for_rest()
    for _ in range(2):
        assert do(scene, 0.8, *(0.3 * one for one in scene.step())) < 4.0
    assert scene.status.rejected == 0


@pytest.mark.case(29, 'the gripper rejects every goal', 'the arm goes on; no repetition')
def test_case_29_rejects(scene, hand) -> None:
    hand.accepts = False
    for _ in range(2):
        do(scene, 0.8, *(0.3 * one for one in scene.step()))
    assert len(hand.goals) == 2
    assert scene.status.rejected == 0


@pytest.mark.case(29, 'its server is out of sight for a moment', 'the goal waits for it')
def test_case_29_out_of_sight(scene, hand, monkeypatch) -> None:
    client = scene.commander._gripper._grasp.client
    back = time.monotonic() + 0.6
    ready = client.server_is_ready
    monkeypatch.setattr(client, 'server_is_ready', lambda: time.monotonic() > back and ready())
    do(scene, 0.8)
    ((sent, name, _),) = hand.goals
    assert name == 'Grasp'
    assert sent > back


@pytest.mark.case(29, 'the gripper hangs and cannot be cancelled', 'timeout; no second goal')
def test_case_29_hangs(scene, hand, reaction) -> None:
    hand.takes, hand.ends_when_cancelled = 30.0, False
    do(scene, 0.8)
    sent = hand.goals[0][0]
    reaction('timeout of the gripper to rest', time.monotonic() - sent - TIMEOUT, 0.1)
    assert hand.cancelled == 1
    for _ in range(2):
        do(scene, 0.8, *(0.3 * one for one in scene.step()))
    assert len(hand.goals) == 1
    assert hand.at_once == 1


@pytest.mark.case(29, 'the gripper succeeds after its timeout', 'then it is used again')
def test_case_29_late(scene, hand) -> None:
    hand.takes, hand.ends_when_cancelled = TIMEOUT + 0.7, False
    do(scene, 0.8)
    assert hand.running == 1, 'it still moves'
    wait_until(lambda: hand.running == 0, 'its late end')
    scene.wait(0.2)
    hand.takes = 0.1
    do(scene, -0.8, closedness=0.8)
    assert [name for _, name, _ in hand.goals] == ['Grasp', 'Move']
    assert hand.at_once == 1


@pytest.mark.case(29, 'e_stop while the gripper moves', 'its goal is cancelled')
def test_case_29_emergency_stop(scene, hand, reaction) -> None:
    hand.takes = 5.0
    scene.plan(change=0.8)
    wait_until(lambda: hand.running, 'a gripper that moves')
    called = time.monotonic()
    scene.call('e_stop')
    wait_until(lambda: hand.cancelled, 'a cancelled goal')
    reaction('call to cancelled goal', time.monotonic() - called, 0.1)


@pytest.mark.case(30, 'the wanted closedness chatters', 'at most one goal per dwell; hysteresis')
def test_case_30_chatter(scene, hand) -> None:
    end = time.monotonic() + 1.5
    plans = 0
    while time.monotonic() < end:
        scene.wait_for_rest()
        # The second kind is too little to take back the first.
        scene.plan(change=-0.25 if plans % 2 else 0.25, closedness=0.5)
        plans += 1
        scene.wait(0.1)
    assert plans > 2
    assert len(hand.goals) == 1
    for number in range(3):
        do(scene, 0.9 if number % 2 else -0.9, closedness=0.0 if number % 2 else 1.0)
    times = [when for when, _, _ in hand.goals]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(gaps) == 3
    assert min(gaps) >= DWELL - 0.05
    assert hand.at_once == 1


@pytest.mark.case(30, 'the same goal is wanted again and again', 'one goal, until fingers move')
def test_case_30_repetition(scene, hand) -> None:
    for _ in range(4):
        do(scene, 0.5, closedness=0.5)  # an object keeps the fingers from closing
        do(scene, -0.9, closedness=0.0)  # open already
    assert [name for _, name, _ in hand.goals] == ['Grasp']
    do(scene, 0.9, closedness=0.1)  # somebody opened them
    assert [name for _, name, _ in hand.goals] == ['Grasp', 'Grasp']


@pytest.mark.case(30, 'one action moves the arm and closes', 'the gripper waits for the arm')
def test_case_30_gripper_after_arrival(scene, hand) -> None:
    do(scene, 0.9, *scene.step())
    (grasp,) = hand.goals
    last_target = scene.targets[-1][0]
    assert grasp[0] > last_target, 'the arm had been sent everything'
    assert grasp[1] == 'Grasp'
    settled = scene.wait_for(Status.IDLE, since=grasp[0])
    assert settled > grasp[0] + hand.takes
