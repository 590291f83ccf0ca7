# SPDX-License-Identifier: Apache-2.0
"""The simulated arm: what it is told, what it does, what it measures."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import (
    CONTROL_PERIOD,
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)

ABOVE_OBJECTS = 0.14  # [m] here the open gripper passes over cup and box
DOWN = geometry.euler_to_quaternion_xyzw([np.pi, 0, 0])


@pytest.fixture(scope='module')
def shared_simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=32))


@pytest.fixture
def simulation(shared_simulation: FrankaSimulation) -> FrankaSimulation:
    shared_simulation.reset(0)
    return shared_simulation


def random_action_in_free_air(
    simulation: FrankaSimulation, rng: np.random.Generator, turn: float = 0.0
) -> np.ndarray:
    state = simulation.state()
    low = np.maximum(WORKSPACE_MIN, [0, 0, ABOVE_OBJECTS])
    action = np.zeros(7)
    action[:3] = np.clip(state[:3] + rng.uniform(-0.075, 0.075, 3), low, WORKSPACE_MAX) - state[:3]
    action[5] = rng.uniform(-turn, turn)
    return action


@pytest.mark.parametrize('turn', [0.0, 0.3])
def test_displacements_are_tracked_to_two_millimetres(
    simulation: FrankaSimulation, turn: float
) -> None:
    rng = np.random.default_rng(3)
    errors = []
    for seed in range(3):
        simulation.reset(seed)
        simulation.place_end_effector([0.5, 0.0, 0.25])
        for _ in range(10):
            action = random_action_in_free_air(simulation, rng, turn)
            wanted = geometry.compose_states(simulation.state(), action)
            simulation.apply(action)
            errors.append(geometry.state_difference(simulation.state(), wanted))
    position = np.linalg.norm(np.array(errors)[:, :3], axis=1)
    rotation = np.linalg.norm(np.array(errors)[:, 3:6], axis=1)
    assert position.mean() < 0.001
    assert np.quantile(position, 0.95) < 0.002
    assert rotation.max() < np.radians(1.0)


def test_an_action_is_kept_inside_the_workspace(simulation: FrankaSimulation) -> None:
    simulation.place_end_effector([0.6, 0.2, 0.3])
    for _ in range(3):
        simulation.apply([0.2, 0.2, 0.2, 0, 0, 0, 0])
    np.testing.assert_allclose(simulation.state()[:3], WORKSPACE_MAX, atol=0.003)


@pytest.mark.parametrize('width', [0.0, 0.02, 0.05, 0.08])
def test_the_gripper_goes_to_the_width_that_it_is_told(
    simulation: FrankaSimulation, width: float
) -> None:
    simulation.place_end_effector([0.5, 0.0, 0.3], gripper_width=0.04)
    simulation.set_gripper_target(width)
    simulation.advance(1.0)
    assert simulation.gripper_width() == pytest.approx(width, abs=0.001)
    assert simulation.state()[6] == pytest.approx(1 - width / 0.08, abs=0.01)


def test_the_gripper_moves_at_the_speed_that_it_is_told(simulation: FrankaSimulation) -> None:
    simulation.place_end_effector([0.5, 0.0, 0.3], gripper_width=0.08)
    simulation.set_gripper_target(0.0, speed=0.05)
    simulation.advance(0.8)
    assert simulation.gripper_width() == pytest.approx(0.04, abs=0.006)


def test_closing_by_one_means_fully_closed(simulation: FrankaSimulation) -> None:
    simulation.place_end_effector([0.5, 0.0, 0.3], gripper_width=0.08)
    for _ in range(2):
        simulation.apply([0, 0, 0, 0, 0, 0, 1.0])
    assert simulation.state()[6] == pytest.approx(1.0, abs=0.01)


def test_fingers_that_came_down_on_something_stay_as_they_are(
    simulation: FrankaSimulation,
) -> None:
    cup = simulation.object_position('cup')
    over_the_rim = cup + np.array([0.0, 0.035, 0.14])
    simulation.place_end_effector(over_the_rim, gripper_width=0.08)
    simulation.apply([0, 0, -0.06, 0, 0, 0, 0])
    simulation.apply([0, 0, -0.06, 0, 0, 0, 1.0])
    assert simulation.state()[2] > over_the_rim[2] - 0.1
    assert simulation.state()[6] < 0.1


@pytest.mark.parametrize('seed', [0, 3])
def test_a_cup_is_grasped_lifted_and_held(simulation: FrankaSimulation, seed: int) -> None:
    simulation.reset(seed)
    simulation.place_end_effector([0.5, 0.0, 0.3], gripper_width=0.08)
    cup = simulation.object_position('cup')

    def go_above_cup(height: float, duration: float) -> None:
        simulation.set_target_pose(cup + np.array([0, 0, height]), DOWN)
        simulation.advance(duration)

    go_above_cup(0.25, 1.0)
    go_above_cup(0.055, 1.0)
    simulation.set_gripper_target(0.03)
    simulation.advance(0.8)
    assert simulation.gripper_width() > 0.055  # the cup is between the fingers
    go_above_cup(0.25, 1.0)
    simulation.advance(1.0)
    assert simulation.object_position('cup')[2] > 0.18
    simulation.apply([0.03, 0, 0.03, 0, 0, 0, 0])  # an action that leaves the gripper alone
    assert simulation.object_position('cup')[2] > 0.2
    simulation.set_gripper_target(0.08)
    simulation.advance(0.8)
    assert simulation.object_position('cup')[2] < 0.1


def test_a_target_out_of_reach_leaves_the_joints_inside_their_limits(
    simulation: FrankaSimulation,
) -> None:
    lower, upper = np.array([(joint.lower, joint.upper) for joint in fr3.JOINTS]).T
    for position in ([3.0, 0.0, 1.0], [0.1, 0.0, -0.5]):
        simulation.set_target_pose(position, DOWN)
        for _ in range(20):
            simulation.advance(0.1)
            joints = simulation.joint_positions()[:7]
            beyond = np.maximum(lower - joints, joints - upper)
            assert beyond.max() < np.radians(2)  # the stops give way a little in passing
        assert beyond.max() < 0


@pytest.mark.parametrize(
    ('position', 'quaternion', 'what'),
    [
        ([0.5, np.nan, 0.3], [1, 0, 0, 0], 'finite'),
        ([0.5, 0.0, np.inf], [1, 0, 0, 0], 'finite'),
        ([0.5, 0.0, 0.3], [np.nan, 0, 0, 1], 'finite'),
        ([0.5, 0.0, 0.3], [0, 0, 0, 0], 'non-zero length'),
        ([0.5, 0.0, 0.3, 0.0], [1, 0, 0, 0], r'shape \(3,\)'),
        ([0.5, 0.0, 0.3], [1, 0, 0], r'shape \(3,\)'),
    ],
)
def test_a_bad_target_is_refused_and_the_old_one_stays(
    simulation: FrankaSimulation, position: list[float], quaternion: list[float], what: str
) -> None:
    simulation.set_target_pose([0.5, 0.1, 0.3], DOWN)
    with pytest.raises(InvalidInputError, match=what):
        simulation.set_target_pose(position, quaternion)
    simulation.advance(1.5)
    np.testing.assert_allclose(simulation.ee_pose()[0], [0.5, 0.1, 0.3], atol=0.002)


def test_the_arm_cannot_be_placed_nowhere(simulation: FrankaSimulation) -> None:
    before = simulation.joint_positions()
    with pytest.raises(InvalidInputError, match='finite'):
        simulation.place_end_effector([0.5, np.nan, 0.3])
    np.testing.assert_array_equal(simulation.joint_positions(), before)


@pytest.mark.parametrize('action', [np.zeros(6), np.full(7, np.nan), np.zeros((1, 7))])
def test_a_bad_action_is_refused_and_nothing_moves(
    simulation: FrankaSimulation, action: np.ndarray
) -> None:
    before = simulation.joint_positions()
    with pytest.raises(InvalidInputError, match='action must be 7 finite numbers'):
        simulation.apply(action)
    np.testing.assert_array_equal(simulation.joint_positions(), before)


@pytest.mark.parametrize('wrong', [{'width': np.nan}, {'speed': 0.0}, {'force': -1.0}])
def test_a_bad_gripper_command_is_refused(
    simulation: FrankaSimulation, wrong: dict[str, float]
) -> None:
    with pytest.raises(InvalidInputError, match='gripper needs'):
        simulation.set_gripper_target(**{'width': 0.04, **wrong})


def test_impossible_settings_are_refused_with_what_is_possible(
    simulation: FrankaSimulation,
) -> None:
    with pytest.raises(InvalidInputError, match='at least 16 px, got 8'):
        SimulationConfig(image_size=8)
    for duration in (0.0, np.nan, np.inf):
        with pytest.raises(InvalidInputError, match='action_duration must be positive'):
            SimulationConfig(action_duration=duration)
    with pytest.raises(UnknownNameError, match="Did you mean 'colors'"):
        SimulationConfig(vary=frozenset({'colours'}))
    with pytest.raises(UnknownNameError, match=r"unknown renderer 'raz'\. Did you mean 'ray'"):
        FrankaSimulation(SimulationConfig(renderer='raz'))
    with pytest.raises(InvalidInputError, match='seed must not be negative, got -1'):
        simulation.reset(-1)
    for duration in (-0.1, np.nan, np.inf):
        with pytest.raises(InvalidInputError, match='duration must be finite'):
            simulation.advance(duration)


def test_time_advances_in_control_periods_and_starts_at_zero(
    simulation: FrankaSimulation,
) -> None:
    assert simulation.time == 0.0
    simulation.advance(0.1)
    assert simulation.time == pytest.approx(0.1)
    simulation.advance(1.4 * CONTROL_PERIOD)
    assert simulation.time == pytest.approx(0.1 + CONTROL_PERIOD)
    before = simulation.time
    simulation.apply(np.zeros(7))
    assert simulation.time > before + simulation.config.action_duration


def test_an_observation_is_image_state_and_time_of_one_instant(
    simulation: FrankaSimulation,
) -> None:
    simulation.apply([0.03, 0, 0, 0, 0, 0, 0])
    observation = simulation.observe()
    assert observation.image is not None
    np.testing.assert_array_equal(observation.image, simulation.render())
    np.testing.assert_array_equal(observation.state, simulation.state())
    assert observation.stamp == simulation.time
    position, quaternion = simulation.ee_pose()
    np.testing.assert_array_equal(observation.state[:3], position)
    euler = geometry.quaternion_xyzw_to_euler(quaternion)
    np.testing.assert_allclose(observation.state[3:6], euler)


def test_measurements_during_a_motion_are_of_now(simulation: FrankaSimulation) -> None:
    simulation.place_end_effector([0.4, -0.2, 0.3])
    simulation.set_target_pose([0.6, 0.2, 0.3], DOWN)
    simulation.advance(0.2)
    assert np.abs(simulation.joint_velocities()).max() > 0.5
    data = mujoco.MjData(simulation.model)
    data.qpos[:9] = simulation.joint_positions()
    mujoco.mj_kinematics(simulation.model, data)
    np.testing.assert_allclose(simulation.ee_pose()[0], data.site('tcp').xpos, atol=1e-9)


def test_the_joint_names_are_those_of_the_real_arm(simulation: FrankaSimulation) -> None:
    expected = [f'fr3_joint{i}' for i in range(1, 8)] + ['fr3_finger_joint1', 'fr3_finger_joint2']
    assert list(simulation.joint_names) == expected
    assert simulation.joint_positions().shape == simulation.joint_velocities().shape == (9,)


def test_measurements_are_copies(simulation: FrankaSimulation) -> None:
    before = simulation.joint_positions(), simulation.ee_pose(), simulation.render()
    for measured in (simulation.joint_positions(), simulation.ee_pose()[0], simulation.render()):
        measured[:] = 0
    np.testing.assert_array_equal(simulation.joint_positions(), before[0])
    np.testing.assert_array_equal(simulation.ee_pose()[0], before[1][0])
    np.testing.assert_array_equal(simulation.render(), before[2])


def test_start_poses_fill_the_workspace_and_touch_nothing(simulation: FrankaSimulation) -> None:
    starts = []
    for seed in range(30):
        simulation.reset(seed)
        starts.append(simulation.state())
        assert simulation.gripper_width() == pytest.approx(fr3.MAX_GRIPPER_WIDTH)
        assert np.abs(simulation.joint_velocities()).max() == 0.0
    positions = np.array(starts)[:, :3]
    assert (positions >= WORKSPACE_MIN - 0.001).all()
    assert (positions <= WORKSPACE_MAX + 0.001).all()
    assert (np.ptp(positions, axis=0) > 0.75 * (WORKSPACE_MAX - WORKSPACE_MIN)).all()


def test_the_arm_holds_its_start_pose_without_commands(simulation: FrankaSimulation) -> None:
    before, _ = simulation.ee_pose()
    simulation.advance(1.0)
    np.testing.assert_allclose(simulation.ee_pose()[0], before, atol=5e-4)


def test_looking_does_not_change_what_happens(simulation: FrankaSimulation) -> None:
    def end_of_episode(looking: bool) -> np.ndarray:
        simulation.reset(4)
        rng = np.random.default_rng(4)
        for _ in range(4):
            if looking:
                simulation.render()
            simulation.apply(np.append(rng.uniform(-0.07, 0.07, 6), rng.uniform(-1, 1)))
        return simulation.data.qpos.copy()

    np.testing.assert_array_equal(end_of_episode(looking=True), end_of_episode(looking=False))


EPISODE = """
import hashlib
import numpy as np
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

def fingerprint(simulation, seed):
    simulation.reset(seed)
    digest = hashlib.sha256()
    rng = np.random.default_rng(seed)
    for _ in range(3):
        digest.update(simulation.render().tobytes() + simulation.state().tobytes())
        simulation.apply(np.append(rng.uniform(-0.07, 0.07, 6), rng.uniform(-1, 1)))
    return digest.hexdigest()

config = SimulationConfig(image_size=32, vary=frozenset({'colors', 'lights', 'camera'}))
simulation = FrankaSimulation(config)
"""


def test_a_seed_gives_the_same_images_and_states_to_the_bit_also_in_another_process() -> None:
    here: dict[str, object] = {}
    exec(EPISODE, here)
    simulation, fingerprint = here['simulation'], here['fingerprint']
    simulation.set_gripper_target(0.01, force=5.0)  # what was before a reset leaves no trace
    simulation.advance(0.3)
    first = [fingerprint(simulation, seed) for seed in (7, 8)]
    assert first == [fingerprint(simulation, seed) for seed in (7, 8)]
    assert first[0] != first[1]
    script = EPISODE + 'print(fingerprint(simulation, 8), fingerprint(simulation, 7))'
    other = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == first[::-1]
