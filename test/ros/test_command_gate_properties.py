# SPDX-License-Identifier: Apache-2.0
"""Whatever plans, measurements, clocks and calls come: no target leaves the limits.

Every case is a random configuration and a random sequence of events around an arm that follows,
lags, or is somewhere else. Every target that the gate sends is judged at once by :class:`Judge`,
which knows the limits and nothing of how the gate works.

A few hundred cases run with the other tests. All 100,000 take about an hour on one core:
``pytest -m slow test/ros/test_command_gate_properties.py``; GATE_EXAMPLES sets another number.
"""

from __future__ import annotations

from itertools import pairwise
import os

import numpy as np
import pytest

pytest.importorskip('hypothesis')

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.command_gate import CommandGate, LONGEST_TICK
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.gate_types import GateState, PlannedStep
from vjepa_ros.motion import Pose

SECOND = 1_000_000_000
TICK = SECOND // 50
CLOCK_JITTER = SECOND // 100  # by which the clock may step back without a consequence
HOME = np.array([0.45, 0.0, 0.25, np.pi, 0.0, 0.0, 0.0])
ROUNDING = 1e-9
MAY_MOVE = (GateState.IDLE, GateState.HOLDING, GateState.EXECUTING)
SLOW_EXAMPLES = int(os.environ.get('GATE_EXAMPLES', '100000'))


class Judge:
    """Takes every target and compares it with what is allowed."""

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self.measured: Pose | None = None  # the newest pose that can be true
        self.chain: list[tuple[int, Pose]] = []  # targets of the motion, with the time of each
        self.time = 0  # [ns] of the motion
        self.outside = 0.0  # [m] that the motion began outside of the workspace
        self.moving = False  # whether the tick that runs may move the arm
        self.targets = 0

    def __call__(self, target: Pose) -> None:
        self.targets += 1
        assert np.isfinite(target.position).all()
        assert abs(np.linalg.norm(target.quaternion) - 1.0) < ROUNDING
        assert self.measured is not None, 'nothing is sent before anything was measured'
        if target is self.measured:  # a hold, or the first target of a motion: from rest
            self.chain = [(self.time - SECOND, target), (self.time, target)]
            self.outside = self.excess(target)
            return
        assert self.moving, 'a hold is the last measured pose'
        self.check_place(target)
        if not self.chain:
            self.chain = [(self.time, self.measured)]
            self.outside = self.excess(self.measured)
        self.chain = [*self.chain[-2:], (self.time, target)]
        self.check_motion()

    def excess(self, pose: Pose) -> float:
        low, high = np.array(self.config.workspace_min), np.array(self.config.workspace_max)
        return float(np.maximum(low - pose.position, pose.position - high).max())

    def check_place(self, target: Pose) -> None:
        assert self.excess(target) <= max(0.0, self.outside) + ROUNDING, 'workspace'
        assert target.distance(self.measured) <= self.config.max_tracking_error + ROUNDING
        assert target.angle(self.measured) <= self.config.max_tracking_rotation + ROUNDING

    def check_motion(self) -> None:
        """Compare mean velocities between targets, and their changes, with the limits."""
        times = np.array([time for time, _ in self.chain]) / SECOND
        poses = [pose for _, pose in self.chain]
        steps, limits = np.diff(times), self.config
        moves = np.diff([pose.position for pose in poses], axis=0)
        turns = np.array([one.turn_to(two) for one, two in pairwise(poses)])
        lengths, angles = np.linalg.norm(moves, axis=1), np.linalg.norm(turns, axis=1)
        assert (lengths <= limits.max_speed * steps + ROUNDING).all(), 'speed'
        assert (angles <= limits.max_rotation_speed * steps + 1e-7).all(), 'rotation speed'
        if len(steps) == 2 and (steps > 1e-4).all():
            allowed = steps.sum() / 2.0
            change = np.linalg.norm(moves[1] / steps[1] - moves[0] / steps[0])
            turning = np.linalg.norm(turns[1] / steps[1] - turns[0] / steps[0])
            assert change <= limits.max_acceleration * allowed * (1 + 1e-6) + 1e-6, 'acceleration'
            # The first two differences of an axis that itself turns are no exact derivatives.
            assert turning <= 1.1 * limits.max_rotation_acceleration * allowed + 1e-5

    def pass_time(self, passed: int) -> None:
        self.time += min(max(passed, 0), LONGEST_TICK)


class World:
    """The gate, its judge, an arm and a clock, as an example of hypothesis moves them."""

    def __init__(self, config: GateConfig, started: bool, rng: np.random.Generator) -> None:
        self.rng = rng
        self.now = self.ticked = 1_000 * SECOND
        self.judge = Judge(config)
        low, high = np.array(config.workspace_min), np.array(config.workspace_max)
        place = rng.uniform(low - 0.02, high + 0.02)
        self.arm = Pose(place, geometry.euler_to_quaternion_xyzw(HOME[3:6]))
        self.poses: list[Pose] = []  # all that were measured
        self.target: Pose | None = None
        self.lag = 0.0
        self.gate = CommandGate(config, self.receive, started=started)
        for _ in range(12):
            self.run(TICK)

    def receive(self, target: Pose) -> None:
        self.judge(target)
        self.target = target

    def run(self, passed: int, *, measured: bool = True) -> None:
        """Let time pass, have the arm follow and be measured, and tick."""
        self.now += passed
        if self.target is not None:
            place = self.lag * self.arm.position + (1.0 - self.lag) * self.target.position
            self.arm = Pose(place, self.target.quaternion)
        if measured:
            self.measure(self.arm, 0)
        if self.now < self.ticked - CLOCK_JITTER:
            self.ticked = self.now
        self.judge.pass_time(self.now - self.ticked)
        self.judge.moving = self.gate.state is GateState.EXECUTING
        self.ticked = max(self.ticked, self.now)
        self.gate.tick(self.now)
        self.judge.moving = False
        if self.gate.state is not GateState.EXECUTING:
            self.judge.chain = []

    def measure(self, pose: Pose, age: int) -> None:
        self.poses.append(pose)
        self.judge.measured = self.gate._arm.pose  # what a hold has to be: the newest one taken
        try:
            self.gate.measure(pose, self.now - age, self.now)
        except InvalidInputError:
            return
        if self.gate._arm.pose is not None:
            self.judge.measured = self.gate._arm.pose
            assert any(self.judge.measured is one for one in reversed(self.poses))
            assert np.isfinite(self.judge.measured.position).all()

    def plan(self, action: np.ndarray, state: np.ndarray, age: int) -> None:
        could = self.gate.state in MAY_MOVE
        taken = self.gate.submit(PlannedStep(action, state, self.now - age), self.now)
        assert could or not taken, 'nothing moves before start'

    def state(self) -> np.ndarray:
        euler = geometry.quaternion_xyzw_to_euler(self.arm.quaternion)
        return np.concatenate([self.arm.position, euler, [0.3]])


NUMBERS = st.one_of(
    st.floats(-0.4, 0.4),
    st.sampled_from([0.0, float('nan'), float('inf'), -float('inf'), 1e300, 5.0, -1e-12]),
)
ODD_NUMBERS = st.lists(NUMBERS, min_size=7, max_size=7).map(np.array)
CLOCK_STEPS = st.one_of(
    st.integers(-SECOND, 3 * SECOND), st.sampled_from([0, 1, -1, 3600 * SECOND, -3600 * SECOND])
)
TROUBLES = st.one_of(
    st.tuples(st.just('odd plan'), st.tuples(ODD_NUMBERS, ODD_NUMBERS, CLOCK_STEPS)),
    st.tuples(st.just('odd state plan'), ODD_NUMBERS),
    st.tuples(st.just('tick'), CLOCK_STEPS),
    st.tuples(st.just('blind'), st.integers(1, 20)),
    st.tuples(st.just('pose'), st.tuples(ODD_NUMBERS, CLOCK_STEPS)),
    st.tuples(st.just('push'), st.floats(0.0, 0.08)),
    st.tuples(st.just('lag'), st.sampled_from([0.0, 0.5, 0.9, 1.0])),
    st.tuples(st.just('call'), st.sampled_from(['start', 'stop', 'e_stop', 'release'])),
    st.tuples(st.just('limits'), st.floats(0.02, 0.5)),
)
# Mostly things go well: an arm that is always stopped tells nothing about motions.
EVENTS = st.one_of(
    st.tuples(st.just('plan'), st.tuples(st.floats(0.0, 1.0), st.integers(1, 40))),
    st.tuples(st.just('plan'), st.tuples(st.floats(0.5, 1.0), st.integers(5, 40))),
    st.tuples(st.just('run'), st.integers(1, 40)),
    st.tuples(st.just('uneven ticks'), st.lists(st.integers(0, 2 * LONGEST_TICK), max_size=9)),
    st.tuples(st.just('recover'), st.none()),
    TROUBLES,
)


def play(world: World, name: str, value: object) -> None:
    gate, rng = world.gate, world.rng
    if name == 'run':
        for _ in range(value):
            world.run(TICK)
    elif name == 'plan':
        action = rng.uniform(-1.0, 1.0, 7) * np.array([0.15, 0.15, 0.15, 0.3, 0.3, 0.3, 1.0])
        world.plan(value[0] * action, world.state(), 0)
        play(world, 'run', value[1])
    elif name == 'recover':
        world.lag = 0.0
        play(world, 'run', 30)
        for service in ('release', 'start'):
            call(gate, service)
        play(world, 'run', 8)
    elif name == 'odd plan':
        world.plan(*value)
    elif name == 'odd state plan':
        world.plan(value, world.state(), 0)
    elif name == 'tick':
        world.run(value)
    elif name == 'uneven ticks':
        for passed in value:
            world.run(passed)
    elif name == 'blind':
        for _ in range(value):
            world.run(TICK, measured=False)
    elif name == 'pose':
        numbers, age = value
        world.measure(Pose(world.arm.position + numbers[:3], numbers[3:]), age)
    elif name == 'push':
        place = world.arm.position + value * rng.normal(size=3)
        world.arm, world.target = Pose(place, world.arm.quaternion), None
    elif name == 'lag':
        world.lag = value
    elif name == 'limits':
        gate.config = world.judge.config = GateConfig(
            mode=gate.config.mode, max_speed=value, max_acceleration=4.0 * value
        )
    else:
        call(gate, value)


def call(gate: CommandGate, name: str) -> None:
    if name == 'e_stop':
        gate.e_stop()
        assert gate.state is GateState.E_STOPPED
        with pytest.raises(InvalidInputError):
            gate.start()
    elif name == 'release':
        gate.release_e_stop()
        assert gate.state is not GateState.E_STOPPED
    elif name == 'stop':
        gate.stop()
    elif gate.state is GateState.E_STOPPED:
        with pytest.raises(InvalidInputError):
            gate.start()
    else:
        gate.start()


def check(mode: str, speeds: tuple[float, float], started: bool, seed: int, events: list) -> None:
    config = GateConfig(
        mode=mode, max_speed=speeds[0], max_acceleration=speeds[1], plan_max_age=1.0
    )
    world = World(config, started, np.random.default_rng(seed))
    play(world, 'plan', (1.0, 10))
    for name, value in events:
        stopped = world.gate.state in (GateState.STOPPED, GateState.E_STOPPED)
        count = world.judge.targets
        play(world, name, value)
        if stopped and name != 'recover' and (name, value) != ('call', 'start'):
            assert world.judge.targets == count, 'an arm that is stopped gets no target'


CASES = given(
    mode=st.sampled_from(['blocking', 'streaming']),
    speeds=st.tuples(st.floats(0.05, 0.5), st.floats(0.2, 3.0)),
    started=st.booleans(),
    seed=st.integers(0, 2**31),
    events=st.lists(EVENTS, min_size=6, max_size=16),
)
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=300, deadline=None, suppress_health_check=QUIET, derandomize=True)
@CASES
def test_no_target_leaves_the_limits_and_holds_are_measured_poses(
    mode, speeds, started, seed, events
) -> None:
    check(mode, speeds, started, seed, events)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@settings(max_examples=SLOW_EXAMPLES, deadline=None, suppress_health_check=QUIET, database=None)
@CASES
def test_a_hundred_thousand_cases(mode, speeds, started, seed, events) -> None:
    check(mode, speeds, started, seed, events)
