# SPDX-License-Identifier: Apache-2.0
"""The kinematics in numpy against those of MuJoCo, and what inverting them gives."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner import geometry
from vjepa_planner.errors import UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_planner.robots.kinematics import ArmKinematics

HOME = np.array(fr3.HOME_JOINT_POSITIONS)
LOWER = np.array([joint.lower for joint in fr3.JOINTS])
UPPER = np.array([joint.upper for joint in fr3.JOINTS])
DOWN = geometry.euler_to_quaternion_xyzw((np.pi, 0.0, 0.0))


@pytest.fixture(scope='module')
def arm() -> ArmKinematics:
    return ArmKinematics()


def random_joints(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(LOWER, UPPER, (count, 7))


def test_pose_and_jacobian_are_those_of_the_simulator(arm: ArmKinematics) -> None:
    mujoco = pytest.importorskip('mujoco')
    from vjepa_planner.simulation.scene import build_mjcf

    model = mujoco.MjModel.from_xml_string(build_mjcf())
    data, jacobian = mujoco.MjData(model), np.zeros((6, model.nv))
    site = model.site('tcp').id
    for joints in [HOME, *random_joints(50)]:
        data.qpos[:7] = joints
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        posture = arm.posture(joints)
        np.testing.assert_allclose(posture.position, data.site_xpos[site], atol=1e-6)
        np.testing.assert_allclose(posture.rotation, data.site_xmat[site].reshape(3, 3), atol=1e-6)
        np.testing.assert_allclose(posture.jacobian, jacobian[:, :7], atol=1e-6)


def test_joint_velocities_give_the_velocity_that_was_asked_for(arm: ArmKinematics) -> None:
    wanted = np.array([0.1, -0.2, 0.05, 0.1, 0.0, -0.3])
    joints = HOME + 1e-6 * arm.posture(HOME).joint_velocities(wanted)
    before, after = arm.posture(HOME), arm.posture(joints)
    moved = before.error(after.position, geometry.matrix_to_quaternion_xyzw(after.rotation))
    np.testing.assert_allclose(moved / 1e-6, wanted, atol=2e-3)


def test_poses_in_front_of_the_arm_are_reached(arm: ArmKinematics) -> None:
    rng = np.random.default_rng(1)
    for position in rng.uniform((0.35, -0.25, 0.1), (0.65, 0.25, 0.5), (30, 3)):
        posture = arm.solve(HOME, position, DOWN, iterations=60)
        assert np.abs(posture.error(position, DOWN)).max() < 1e-3
        assert (posture.joints > LOWER).all()
        assert (posture.joints < UPPER).all()


def test_a_small_step_is_a_small_step_of_the_joints(arm: ArmKinematics) -> None:
    posture = arm.posture(HOME)
    quaternion = geometry.matrix_to_quaternion_xyzw(posture.rotation)
    target = posture.position + np.array([0.0, 0.005, 0.0])
    moved = arm.solve(HOME, target, quaternion)
    assert np.abs(moved.error(target, quaternion)).max() < 1e-5
    assert 0.0 < np.abs(moved.joints - HOME).max() < 0.05


def test_a_stretched_arm_has_a_large_condition_number_and_stays_finite(arm: ArmKinematics) -> None:
    assert arm.posture(HOME).condition_number() < 10.0
    posture = arm.solve(HOME, np.array([1.5, 0.0, 0.2]), DOWN, iterations=200)
    assert np.isfinite(posture.joints).all()
    assert posture.condition_number() > 60.0
    assert np.abs(posture.error(np.array([1.5, 0.0, 0.2]), DOWN)).max() > 0.5


def test_the_flange_is_where_the_description_has_it(arm: ArmKinematics) -> None:
    tool, flange = arm.posture(HOME), ArmKinematics('panda_link8').posture(HOME)
    distance = tool.position - flange.position
    np.testing.assert_allclose(distance, fr3.TCP_OFFSET_Z * tool.rotation[:, 2], atol=1e-9)
    turn = flange.rotation.T @ tool.rotation
    np.testing.assert_allclose(geometry.matrix_to_euler(turn), [0, 0, fr3.HAND_YAW], atol=1e-9)


def test_another_hand_is_not_guessed() -> None:
    with pytest.raises(UnknownNameError, match='link8, hand, hand_tcp'):
        ArmKinematics('fr3_robotiq')
