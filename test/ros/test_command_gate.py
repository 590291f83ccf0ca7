# SPDX-License-Identifier: Apache-2.0
"""What the gate lets through to the arm, and when it holds: an ideal arm and made-up time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.command_gate import CommandGate, GateState, PlannedStep
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import limited_target, MotionLimits, Pose

SECOND = 1_000_000_000
TICK = SECOND // 50
HOME = np.array([0.45, 0.0, 0.25, np.pi, 0.0, 0.0, 0.0])


def pose_of(state: np.ndarray) -> Pose:
    return Pose(state[:3].copy(), geometry.euler_to_quaternion_xyzw(state[3:6]))


def action(
    *translation: float, rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    return np.array([*translation, *rotation, 0.0])


class Hand:
    """A gripper that notes what it is told, and is as busy as the test says."""

    def __init__(self) -> None:
        self.busy = False
        self.moves: list[tuple[float, float]] = []
        self.stops = 0

    def update(self) -> None:
        pass

    def wants(self, _closedness: float, change: float) -> bool:
        return abs(change) >= 0.1

    def move(self, closedness: float, change: float) -> None:
        if self.wants(closedness, change):
            self.moves.append((closedness, change))
            self.busy = True

    def stop(self) -> None:
        self.busy = False
        self.stops += 1


class Arm:
    """An arm that follows its targets at once, and the gate in front of it."""

    def __init__(
        self, config: GateConfig | None = None, *, started: bool = True, hand: Hand | None = None
    ) -> None:
        self.now = 1_700_000_000 * SECOND
        self.targets: list[Pose] = []
        self.pose = pose_of(HOME)
        self.follows = True
        self.measured = True
        self.hand = hand or Hand()
        self.gate = CommandGate(config or GateConfig(), self.receive, self.hand, started=started)

    def receive(self, target: Pose) -> None:
        self.targets.append(target)
        if self.follows:
            self.pose = target

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * SECOND / TICK)):
            self.now += TICK
            if self.measured:
                self.gate.measure(self.pose, self.now, self.now)
            self.gate.tick(self.now)

    def step(self, change: np.ndarray, *, age: float = 0.0) -> PlannedStep:
        position, quaternion = self.pose.position, self.pose.quaternion
        state = np.concatenate([position, geometry.quaternion_xyzw_to_euler(quaternion), [0.0]])
        return PlannedStep(change, state, self.now - int(age * SECOND), 'goal-1')

    def plan(self, change: np.ndarray, *, age: float = 0.0) -> bool:
        return self.gate.submit(self.step(change, age=age), self.now)


@pytest.fixture
def arm() -> Arm:
    ready = Arm()
    ready.run(0.3)
    assert ready.gate.state is GateState.IDLE
    return ready


def test_a_good_plan_moves_the_arm_by_its_first_action_and_then_it_rests(arm: Arm) -> None:
    assert arm.plan(action(0.05, -0.03, 0.02, rotation=(0.0, 0.0, 0.2)))
    arm.run(2.0)
    assert arm.gate.state is GateState.IDLE
    np.testing.assert_allclose(
        arm.pose.position, HOME[:3] + np.array([0.05, -0.03, 0.02]), atol=1e-9
    )
    assert arm.pose.angle(pose_of(HOME)) == pytest.approx(0.2)
    count = len(arm.targets)
    arm.run(1.0)
    assert len(arm.targets) == count, 'the last target stays; nothing is sent at rest'


@pytest.mark.parametrize('seed', range(20))
def test_no_two_targets_in_a_row_exceed_speed_or_acceleration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = GateConfig(
        max_speed=rng.uniform(0.05, 0.5),
        max_acceleration=rng.uniform(0.2, 2.0),
        max_rotation_speed=rng.uniform(0.1, 1.0),
    )
    arm = Arm(config)
    arm.run(0.3)
    arm.receive(arm.pose)
    arm.plan(np.concatenate([rng.uniform(-0.12, 0.12, 3), rng.uniform(-0.3, 0.3, 3), [0.0]]))
    arm.run(10.0)
    dt = TICK / SECOND
    positions = np.array([target.position for target in arm.targets])
    velocities = np.diff(positions, axis=0) / dt
    turns = [one.angle(other) for one, other in pairwise(arm.targets)]
    assert arm.gate.accepted == 1
    assert np.linalg.norm(velocities, axis=1).max() <= config.max_speed * (1 + 1e-6)
    accelerations = np.diff(velocities, axis=0) / dt
    assert np.linalg.norm(accelerations, axis=1).max() <= config.max_acceleration * (1 + 1e-6)
    assert max(turns) / dt <= config.max_rotation_speed * (1 + 1e-3)


def test_a_late_tick_does_not_make_the_target_leap() -> None:
    arm = Arm(GateConfig(state_max_age=5.0))
    arm.run(0.3)
    arm.plan(action(0.12, 0.0, 0.0))
    arm.run(0.4)
    arm.now += SECOND  # the machine had something else to do
    before = arm.pose
    arm.run(TICK / SECOND)
    assert 0.0 < arm.pose.distance(before) <= 0.25 * 0.05 + 1e-9


def test_targets_never_leave_the_workspace(arm: Arm) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        arm.plan(np.concatenate([rng.uniform(-0.15, 0.15, 3), np.zeros(4)]))
        arm.run(2.5)
    limits = arm.gate.config
    positions = np.array([target.position for target in arm.targets])
    assert arm.gate.accepted > 50
    assert (positions >= np.array(limits.workspace_min) - 1e-9).all()
    assert (positions <= np.array(limits.workspace_max) + 1e-9).all()


@pytest.mark.parametrize(
    ('seconds', 'complaint'), [(3.0, 'is 3.00 s old'), (-1.0, 'comes from 1.00 s in the future')]
)
def test_a_plan_of_an_old_or_a_future_image_holds_the_arm(
    arm: Arm, seconds: float, complaint: str
) -> None:
    arm.run(4.0)
    assert not arm.plan(action(0.05, 0.0, 0.0), age=seconds)
    assert arm.gate.state is GateState.HOLDING
    assert complaint in arm.gate.reason
    assert len(arm.targets) == 1
    assert arm.targets[0].distance(pose_of(HOME)) == 0.0
    arm.run(2.0)
    assert len(arm.targets) == 1, 'a hold sets the target once'


def test_a_plan_of_an_image_from_before_the_last_motion_ended_is_refused(arm: Arm) -> None:
    seen = arm.now
    arm.plan(action(0.03, 0.0, 0.0))
    arm.run(1.5)
    assert arm.gate.state is GateState.IDLE
    early = PlannedStep(action(0.03, 0.0, 0.0), HOME, seen)
    assert not arm.gate.submit(early, arm.now)
    assert 'before the arm had come to rest' in arm.gate.reason


def test_a_plan_that_starts_elsewhere_is_refused(arm: Arm) -> None:
    elsewhere = PlannedStep(action(0.03, 0.0, 0.0), HOME + 0.1, arm.now)
    assert not arm.gate.submit(elsewhere, arm.now)
    assert 'from where the plan starts' in arm.gate.reason


def test_a_jump_is_refused_and_a_long_step_is_shortened(arm: Arm) -> None:
    assert not arm.plan(action(0.31, 0.0, 0.0))
    assert 'too large a jump' in arm.gate.reason
    arm.run(1.0)
    arm.gate.config = GateConfig(max_step=0.15)
    arm.plan(action(0.0, 0.2, 0.0))
    assert 'shortened from 0.200 m to 0.15 m' in arm.gate.reason
    arm.run(3.0)
    np.testing.assert_allclose(arm.pose.position, HOME[:3] + np.array([0.0, 0.15, 0.0]), atol=1e-9)


def test_a_bad_plan_in_a_motion_stops_it(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.gate.refuse('plan contains NaN or infinity.', arm.now)
    held = arm.pose
    arm.run(1.0)
    assert arm.gate.state is GateState.HOLDING
    assert 'NaN' in arm.gate.reason
    assert arm.pose.distance(held) == 0.0
    assert arm.plan(action(0.0, 0.0, 0.05)), 'a good plan goes on'


def test_an_early_good_plan_leaves_the_motion_alone(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.plan(action(-0.1, 0.0, 0.0))
    arm.run(2.0)
    np.testing.assert_allclose(arm.pose.position, HOME[:3] + np.array([0.1, 0.0, 0.0]), atol=1e-9)


def test_the_arm_holds_when_its_pose_is_no_longer_measured(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.measured = False
    arm.run(1.0)
    assert arm.gate.state is GateState.WAITING
    last = len(arm.targets)
    assert arm.targets[-1].distance(arm.targets[-2]) < 0.05
    arm.run(1.0)
    assert len(arm.targets) == last
    assert not arm.plan(action(0.1, 0.0, 0.0))


def test_a_blocked_arm_is_held_where_it_is(arm: Arm) -> None:
    arm.follows = False
    arm.plan(action(0.12, 0.0, 0.0))
    arm.run(2.0)
    assert arm.gate.state is GateState.STOPPED
    assert 'blocked?' in arm.gate.reason
    assert 'call the service start' in arm.gate.reason
    assert arm.targets[-1].distance(arm.pose) == 0.0
    assert max(target.distance(arm.pose) for target in arm.targets) < 0.05 + 0.02


def test_stop_holds_until_start() -> None:
    arm = Arm(started=False)
    arm.run(0.3)
    assert arm.gate.state is GateState.STOPPED
    assert not arm.plan(action(0.05, 0.0, 0.0))
    arm.gate.start()
    arm.run(0.3)
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.gate.stop()
    held = arm.pose
    arm.run(1.0)
    assert arm.pose.distance(held) == 0.0
    assert arm.gate.state is GateState.STOPPED


def test_an_emergency_stop_is_latched(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.gate.e_stop()
    arm.gate.stop()
    with pytest.raises(InvalidInputError, match='release_e_stop'):
        arm.gate.start()
    arm.run(0.5)
    assert arm.gate.state is GateState.E_STOPPED
    assert not arm.plan(action(0.05, 0.0, 0.0))
    arm.gate.release_e_stop()
    assert arm.gate.state is GateState.STOPPED
    arm.gate.start()
    arm.run(0.3)
    assert arm.gate.state is GateState.IDLE


def test_a_clock_that_jumps_back_holds_the_arm(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.now -= 60 * SECOND
    arm.run(TICK / SECOND)
    held = arm.pose
    arm.run(1.0)
    assert arm.pose.distance(held) == 0.0


def test_a_gap_between_measurements_is_not_rest(arm: Arm) -> None:
    arm.plan(action(0.12, 0.0, 0.0))
    arm.run(0.3)
    arm.gate.stop()
    arm.measured = False
    arm.run(0.18)
    assert arm.gate.settled is None


def test_an_arm_that_creeps_stays_settled_and_one_that_is_pushed_does_not(arm: Arm) -> None:
    settled = arm.gate.settled
    arm.pose = pose_of(HOME + np.array([0.003, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    arm.run(0.5)
    assert arm.gate.settled == settled
    arm.pose = pose_of(HOME + np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    arm.run(0.04)
    assert arm.gate.settled is None
    arm.run(0.5)
    assert arm.gate.settled > settled
    assert arm.gate.state is GateState.IDLE
    assert not arm.targets, 'nobody told the arm to go back'


def test_a_large_rotation_keeps_its_axis_when_it_is_reduced() -> None:
    limits = MotionLimits(max_step_rotation=0.2)
    turn = geometry.quaternion_xyzw_to_euler(
        np.array([*(np.sin(0.4) * np.array([0.6, 0.0, 0.8])), np.cos(0.4)])
    )
    target, cuts = limited_target(HOME, action(0.0, 0.0, 0.0, rotation=tuple(turn)), limits)
    assert 'rotation reduced from 0.80 rad to 0.2 rad' in cuts
    done = geometry.state_difference(HOME, target)[3:6]
    quaternion = geometry.euler_to_quaternion_xyzw(done)
    np.testing.assert_allclose(
        np.abs(quaternion), [np.sin(0.1) * 0.6, 0.0, np.sin(0.1) * 0.8, np.cos(0.1)], atol=1e-9
    )


def test_a_workspace_that_is_no_box_is_refused() -> None:
    with pytest.raises(InvalidInputError, match='workspace_min'):
        MotionLimits(workspace_min=(0.8, 0.0, 0.0))


def test_the_first_target_of_a_motion_is_the_measured_pose(arm: Arm) -> None:
    measured = arm.pose = pose_of(HOME + np.array([0.003, -0.003, 0.0, 0.0, 0.0, 0.0, 0.0]))
    arm.run(0.3)
    arm.plan(action(0.1, 0.0, 0.0))
    arm.now += TICK
    arm.gate.tick(arm.now)
    assert arm.targets[0].distance(measured) == 0.0


def test_a_long_step_is_made_in_full_and_more_slowly(arm: Arm) -> None:
    arm.plan(action(0.0, 0.29, 0.0))
    assert arm.gate.reason == ''
    arm.run(1.875 * 0.29 / 0.25 + 0.5)
    assert arm.gate.state is GateState.IDLE
    assert arm.pose.position[1] == pytest.approx(0.29)


def test_the_gripper_moves_when_the_arm_has_arrived_and_completes_the_motion(arm: Arm) -> None:
    change = action(0.05, 0.0, 0.0)
    change[6] = 0.8
    arm.plan(change)
    for _ in range(200):
        if arm.hand.moves:
            break
        assert arm.gate.state is GateState.EXECUTING
        arm.run(TICK / SECOND)
    assert arm.pose.position[0] == pytest.approx(HOME[0] + 0.05)
    assert arm.hand.moves == [(0.8, 0.8)]
    arm.run(20.0)
    assert arm.gate.state is GateState.EXECUTING, 'the gripper has a timeout of its own'
    assert arm.gate.settled is None
    closed = arm.now
    arm.hand.busy = False
    arm.run(0.1)
    assert arm.gate.state is GateState.IDLE
    assert arm.gate.settled > closed
    assert len(arm.hand.moves) == 1


@pytest.mark.parametrize(('closedness', 'told'), [(0.15, [(0.0, -0.8)]), (0.0, [])])
def test_fingers_around_a_wide_object_are_told_how_much_they_were_asked_to_open(
    arm: Arm, closedness: float, told: list[tuple[float, float]]
) -> None:
    change = action(0.03, 0.0, 0.0)
    change[6] = -0.8
    step = arm.step(change)
    around = np.array([*step.state[:6], closedness])
    assert arm.gate.submit(replace(step, state=around), arm.now)
    arm.run(2.0)
    assert arm.hand.moves == told


@pytest.mark.parametrize(('grip', 'holds'), [(0.8, True), (-0.8, True), (0.0, False)])
def test_fingers_stay_as_they_are_where_something_stopped_the_arm(
    arm: Arm, grip: float, holds: bool
) -> None:
    change = action(0.0, 0.0, -0.06)
    change[6] = grip
    around = np.array([*arm.step(change).state[:6], 0.5])
    assert arm.gate.submit(replace(arm.step(change), state=around), arm.now)
    arm.follows = False
    for height in np.linspace(0.0, -0.045, 60):  # on something 1.5 cm higher than the target
        arm.pose = pose_of(HOME + np.array([0, 0, height, 0, 0, 0, 0]))
        arm.run(TICK / SECOND)
    arm.run(1.0)
    assert not arm.hand.moves
    assert (arm.gate.state is GateState.HOLDING) == holds
    assert ('stopped the arm 0.015 m from its target' in arm.gate.reason) == holds
    arm.follows = True
    assert arm.plan(action(0.0, 0.0, 0.05)), 'the next plan may try something else'


def test_a_hold_before_arrival_takes_the_gripper_action_back(arm: Arm) -> None:
    change = action(0.1, 0.0, 0.0)
    change[6] = 0.8
    arm.plan(change)
    arm.run(0.3)
    arm.gate.hold('a test')
    arm.run(3.0)
    assert not arm.hand.moves
    assert arm.hand.stops == 1


def test_fingers_that_shake_the_arm_do_not_make_the_motion_fail(arm: Arm) -> None:
    change = action(0.02, 0.0, 0.0)
    change[6] = -0.8
    arm.plan(change)
    arm.run(2.0)
    arm.follows = False
    for tick in range(200):
        arm.pose = pose_of(HOME + np.array([0.02 + 0.001 * (tick % 2), 0, 0, 0, 0, 0, 0]))
        arm.run(TICK / SECOND)
    arm.hand.busy = False
    arm.run(0.5)
    assert arm.gate.state is GateState.IDLE


@pytest.mark.parametrize('moving', [True, False])
@pytest.mark.parametrize(
    ('jump', 'complaint'),
    [
        (np.array([0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0]), 'jumped by 0.1'),
        (np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.0]), 'and 0.60 rad'),
        (np.array([np.nan, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), 'NaN'),
    ],
)
def test_a_pose_that_cannot_be_true_stops_the_arm_until_start(
    arm: Arm, jump: np.ndarray, complaint: str, moving: bool
) -> None:
    if moving:
        arm.plan(action(0.1, 0.0, 0.0))
        arm.run(0.3)
    before, count = arm.pose, len(arm.targets)
    turned = pose_of(np.concatenate([before.position, HOME[3:6] + jump[3:6], [0.0]]))
    arm.pose = Pose(before.position + jump[:3], turned.quaternion)
    arm.run(TICK / SECOND)
    assert arm.gate.state is GateState.STOPPED
    assert complaint in arm.gate.reason
    assert len(arm.targets) == count + (1 if moving else 0), 'an arm at rest gets no target'
    if moving:
        assert arm.targets[-1] is arm.targets[-3], 'where it was measured last'
    arm.pose = before
    arm.run(1.0)
    assert not arm.plan(action(0.02, 0.0, 0.0))
    arm.gate.start()
    arm.run(0.3)
    assert arm.plan(action(0.02, 0.0, 0.0))


def test_the_first_reason_to_stop_is_kept(arm: Arm) -> None:
    arm.gate.fault('a first thing.')
    arm.gate.fault('a second thing.')
    assert 'a first thing.' in arm.gate.reason
    arm.gate.stop('the operator')
    assert arm.gate.reason == 'the operator'


def test_an_old_measurement_counts_for_nothing(arm: Arm) -> None:
    queued = pose_of(HOME + np.array([0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    with pytest.raises(InvalidInputError, match=r'the measured pose is 2\.00 s old'):
        arm.gate.measure(queued, arm.now - 2 * SECOND, arm.now)
    arm.gate.measure(queued, arm.now - TICK, arm.now)
    assert arm.gate.state is GateState.IDLE, 'neither does one that was overtaken'


def test_a_short_loss_of_measurements_ends_by_itself_and_a_long_one_does_not(arm: Arm) -> None:
    arm.measured = False
    arm.run(5.0)
    assert arm.gate.state is GateState.WAITING
    arm.measured = True
    arm.run(0.5)
    assert arm.gate.state is GateState.IDLE
    arm.measured = False
    arm.run(11.0)
    arm.measured = True
    arm.run(0.5)
    assert arm.gate.state is GateState.STOPPED
    assert 'no measured pose for more than 10 s' in arm.gate.reason


def test_a_commander_that_stood_still_holds(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.now += SECOND
    arm.run(TICK / SECOND)
    assert arm.gate.state is GateState.HOLDING
    assert 'stood still for 1.02 s' in arm.gate.reason


def test_a_lowered_limit_ends_the_motion_and_a_raised_one_does_not(arm: Arm) -> None:
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(0.3)
    arm.gate.config = GateConfig(max_speed=0.3, workspace_max=(0.8, 0.5, 0.7))
    assert arm.gate.state is GateState.EXECUTING
    arm.gate.config = GateConfig(max_speed=0.1)
    assert arm.gate.state is GateState.HOLDING
    assert arm.gate.config.max_speed == 0.1


STREAMING = GateConfig(mode='streaming', plan_max_age=0.5)


def stream(arm: Arm, plans: list[tuple[float, ...]], period: float = 0.24) -> None:
    for translation in plans:
        arm.plan(action(*translation))
        arm.run(period)


def test_streaming_plans_replace_each_other_without_a_stop_within_the_limits() -> None:
    arm = Arm(STREAMING)
    arm.run(0.3)
    stream(arm, [(0.05, 0.0, 0.0)] * 6)
    dt = TICK / SECOND
    positions = np.array([target.position for target in arm.targets])
    velocities = np.diff(positions, axis=0) / dt
    speeds = np.linalg.norm(velocities, axis=1)
    assert arm.gate.accepted == 6
    assert speeds[15:].min() > 0.03, 'on the way it does not stop'
    assert speeds.max() <= 0.25 * (1 + 1e-6)
    accelerations = np.diff(velocities, axis=0, prepend=np.zeros((1, 3))) / dt
    assert np.linalg.norm(accelerations, axis=1).max() <= 1.0 * (1 + 1e-6)


def test_a_streamed_action_counts_from_the_state_that_it_was_planned_from() -> None:
    arm = Arm(STREAMING)
    arm.run(0.3)
    first = arm.step(action(0.08, 0.0, 0.0))
    arm.gate.submit(first, arm.now)
    arm.run(0.2)
    seen = arm.step(action(0.0, 0.06, 0.0))
    arm.run(0.2)  # of planning
    assert arm.gate.submit(seen, arm.now)
    arm.run(1.5)
    np.testing.assert_allclose(
        arm.pose.position, seen.state[:3] + np.array([0, 0.06, 0]), atol=1e-9
    )


def test_a_streamed_motion_that_ends_in_a_gripper_action_is_finished_first() -> None:
    arm = Arm(STREAMING)
    arm.run(0.3)
    change = action(0.03, 0.0, 0.0)
    change[6] = 0.9
    arm.plan(change)
    arm.run(0.2)
    assert not arm.plan(action(-0.05, 0.0, 0.0))
    arm.run(1.0)
    assert arm.hand.moves == [(0.9, 0.9)]
    assert not arm.plan(action(-0.05, 0.0, 0.0)), 'the fingers close'
    arm.hand.busy = False
    arm.run(0.2)
    assert arm.plan(action(-0.05, 0.0, 0.0))


def test_streaming_finishes_the_motion_and_holds_when_plans_stay_away() -> None:
    arm = Arm(STREAMING)
    arm.run(0.3)
    arm.plan(action(0.1, 0.0, 0.0))
    arm.run(2.0)
    assert arm.gate.state is GateState.HOLDING
    assert 'no plan from an image of the last 0.5 s' in arm.gate.reason
    assert arm.pose.position[0] == pytest.approx(HOME[0] + 0.1)
    assert arm.plan(action(0.02, 0.0, 0.0))


def test_a_streamed_plan_from_where_the_arm_was_not_is_refused() -> None:
    arm = Arm(STREAMING)
    arm.run(0.3)
    elsewhere = PlannedStep(action(0.03, 0.0, 0.0), HOME + 0.05, arm.now)
    assert not arm.gate.submit(elsewhere, arm.now)
    assert 'from where the plan starts' in arm.gate.reason


def test_there_are_two_modes() -> None:
    with pytest.raises(InvalidInputError, match=r'blocking, streaming, got .fast.'):
        GateConfig(mode='fast')
