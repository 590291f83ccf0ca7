# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vjepa_planner.geometry import euler_to_quaternion_xyzw
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import WORKSPACE_MAX, WORKSPACE_MIN
from vjepa_planner.simulation.inverse_kinematics import InverseKinematics
from vjepa_planner.simulation.scene import build_mjcf

HOME = np.array(fr3.HOME_JOINT_POSITIONS)
VELOCITY = np.array([joint.max_velocity for joint in fr3.JOINTS])


class Arm:
    """The scene's kinematics, without physics."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(build_mjcf())
        self.data = mujoco.MjData(self.model)
        self.inverse = InverseKinematics(self.model)

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.data.qpos[:7] = joints
        mujoco.mj_kinematics(self.model, self.data)
        site = self.data.site('tcp')
        return site.xpos.copy(), site.xmat.reshape(3, 3).copy()


@pytest.fixture(scope='module')
def arm() -> Arm:
    return Arm()


def random_pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    quaternion = euler_to_quaternion_xyzw(np.array([np.pi, 0, 0]) + rng.normal(0, 0.1, 3))
    return rng.uniform(WORKSPACE_MIN, WORKSPACE_MAX), quaternion[[3, 0, 1, 2]]


def test_every_pose_of_the_workspace_is_reached_inside_the_limits(arm: Arm) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        position, quaternion = random_pose(rng)
        joints = arm.inverse.solve(HOME, position, quaternion)
        reached, rotation = arm.pose(joints)
        wanted = np.empty(9)
        mujoco.mju_quat2Mat(wanted, quaternion)
        np.testing.assert_allclose(reached, position, atol=1e-4)
        np.testing.assert_allclose(rotation, wanted.reshape(3, 3), atol=1e-3)
        assert all(j.lower < q < j.upper for j, q in zip(fr3.JOINTS, joints, strict=True))


def test_a_pose_that_is_reached_already_asks_for_no_motion_of_the_hand(arm: Arm) -> None:
    position, rotation = arm.pose(HOME)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.reshape(-1))
    np.testing.assert_allclose(arm.inverse.step(HOME, position, quaternion, 0.02), HOME, atol=1e-9)


def test_one_step_moves_no_joint_faster_than_it_may(arm: Arm) -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        position, quaternion = random_pose(rng)
        moved = np.abs(arm.inverse.step(HOME, position, quaternion, 0.02) - HOME)
        assert (moved <= 0.02 * VELOCITY + 1e-12).all()


@pytest.mark.parametrize('position', [(3.0, 0.0, 0.5), (0.0, 0.0, 0.1), (-1.0, -1.0, -1.0)])
def test_a_pose_out_of_reach_gives_finite_joints_inside_the_limits(
    arm: Arm, position: tuple[float, float, float]
) -> None:
    joints = arm.inverse.solve(HOME, np.array(position), np.array([0.0, 1.0, 0.0, 0.0]))
    assert all(j.lower < q < j.upper for j, q in zip(fr3.JOINTS, joints, strict=True))


def test_the_simulation_that_it_is_asked_from_stays_untouched(arm: Arm) -> None:
    arm.pose(HOME)
    before = arm.data.qpos.copy(), arm.data.site('tcp').xpos.copy()
    arm.inverse.solve(HOME, np.array([0.5, 0.1, 0.2]), np.array([0.0, 1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(arm.data.qpos, before[0])
    np.testing.assert_array_equal(arm.data.site('tcp').xpos, before[1])
