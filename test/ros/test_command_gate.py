# SPDX-License-Identifier: Apache-2.0
"""What the gate lets through to the arm, and when it holds: an ideal arm and made-up time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.command_gate import CommandGate, GateState, PlannedStep
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import limited_target, MotionLimits, Pose, Trajectory

SECOND = 1_000_000_000
TICK = SECOND // 50
HOME = np.array([0.45, 0.0, 0.25, np.pi, 0.0, 0.0, 0.0])


def pose_of(state: np.ndarray) -> Pose:
    return Pose(state[:3].copy(), geometry.euler_to_quaternion_xyzw(state[3:6]))


def action(
    *translation: float, rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    return np.array([*translation, *rotation, 0.0])


class Arm:
    """An arm that follows its targets at once, and the gate in front of it."""

    def __init__(self, config: GateConfig | None = None, *, started: bool = True) -> None:
        self.now = 1_700_000_000 * SECOND
        self.targets: list[Pose] = []
        self.pose = pose_of(HOME)
        self.follows = True
        self.measured = True
        self.gate = CommandGate(config or GateConfig(), self.receive, started=started)

    def receive(self, target: Pose) -> None:
        self.targets.append(target)
        if self.follows:
            self.pose = target

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * SECOND / TICK)):
            self.now += TICK
            if self.measured:
                self.gate.measure(self.pose, self.now)
            self.gate.tick(self.now)

    def step(self, change: np.ndarray, *, age: float = 0.0) -> PlannedStep:
        position, quaternion = self.pose.position, self.pose.quaternion
        state = np.concatenate([position, geometry.quaternion_xyzw_to_euler(quaternion), [0.0]])
        return PlannedStep(change, state, self.now - int(age * SECOND), 'goal-1')

    def plan(self, change: np.ndarray, *, age: float = 0.0) -> float | None:
        return self.gate.submit(self.step(change, age=age), self.now)


@pytest.fixture
def arm() -> Arm:
    ready = Arm()
    ready.run(0.3)
    assert ready.gate.state is GateState.IDLE
    return ready


def test_a_good_plan_moves_the_arm_by_its_first_action_and_then_it_rests(arm: Arm) -> None:
    closedness = arm.plan(action(0.05, -0.03, 0.02, rotation=(0.0, 0.0, 0.2)))
    assert closedness == 0.0
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


def test_a_late_tick_does_not_make_the_target_leap(arm: Arm) -> None:
    arm.plan(action(0.12, 0.0, 0.0))
    arm.run(0.2)
    arm.now += 3 * SECOND  # the process was suspended
    before = arm.pose
    arm.run(TICK / SECOND)
    assert arm.pose.distance(before) <= 0.25 * 0.05 + 1e-9


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
    assert arm.plan(action(0.05, 0.0, 0.0), age=seconds) is None
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
    assert arm.gate.submit(early, arm.now) is None
    assert 'before the arm had come to rest' in arm.gate.reason


def test_a_plan_that_starts_elsewhere_is_refused(arm: Arm) -> None:
    elsewhere = PlannedStep(action(0.03, 0.0, 0.0), HOME + 0.1, arm.now)
    assert arm.gate.submit(elsewhere, arm.now) is None
    assert 'from where the plan starts' in arm.gate.reason


def test_a_jump_is_refused_and_a_long_step_is_shortened(arm: Arm) -> None:
    assert arm.plan(action(0.31, 0.0, 0.0)) is None
    assert 'too large a jump' in arm.gate.reason
    arm.run(1.0)
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
    assert arm.plan(action(0.0, 0.0, 0.05)) is not None, 'a good plan goes on'


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
    assert arm.plan(action(0.1, 0.0, 0.0)) is None


def test_a_blocked_arm_is_held_where_it_is(arm: Arm) -> None:
    arm.follows = False
    arm.plan(action(0.12, 0.0, 0.0))
    arm.run(2.0)
    assert arm.gate.state is GateState.HOLDING
    assert 'is it blocked?' in arm.gate.reason
    assert arm.targets[-1].distance(arm.pose) == 0.0
    assert max(target.distance(arm.pose) for target in arm.targets) < 0.05 + 0.02


def test_stop_holds_until_start() -> None:
    arm = Arm(started=False)
    arm.run(0.3)
    assert arm.gate.state is GateState.STOPPED
    assert arm.plan(action(0.05, 0.0, 0.0)) is None
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
    assert arm.plan(action(0.05, 0.0, 0.0)) is None
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


def test_a_motion_is_complete_only_when_the_gripper_is(arm: Arm) -> None:
    arm.plan(action(0.02, 0.0, 0.0))
    arm.gate.gripper_busy = True
    arm.run(5.0)
    assert arm.gate.state is GateState.EXECUTING
    arm.gate.gripper_busy = False
    arm.run(0.1)
    assert arm.gate.state is GateState.IDLE


def test_a_trajectory_begins_at_the_start_and_ends_at_the_target() -> None:
    start, target = pose_of(HOME), pose_of(HOME + np.array([0.1, 0.0, -0.1, 0.1, 0.0, 0.3, 0.0]))
    trajectory = Trajectory(start, target, MotionLimits())
    assert trajectory.at(0.0).distance(start) == 0.0
    assert trajectory.at(trajectory.duration).distance(target) == 0.0
    assert trajectory.at(trajectory.duration / 2).distance(start) == pytest.approx(
        start.distance(target) / 2
    )


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
