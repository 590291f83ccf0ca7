# SPDX-License-Identifier: Apache-2.0
"""The arm of the simulator against the published description of the real one."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from vjepa_planner.robots import fr3
from vjepa_planner.simulation.scene import build_mjcf

# Modified Denavit-Hartenberg parameters (a, d, alpha) of the arm, from Franka's documentation.
DH = (
    (0, 0.333, 0),
    (0, 0, -math.pi / 2),
    (0, 0.316, math.pi / 2),
    (0.0825, 0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0, 0, math.pi / 2),
    (0.088, 0, math.pi / 2),
)
FLANGE, HAND_ANGLE, TCP = 0.107, -math.pi / 4, 0.1034

LOWER = np.array([joint.lower for joint in fr3.JOINTS])
UPPER = np.array([joint.upper for joint in fr3.JOINTS])


@pytest.fixture(scope='module')
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(build_mjcf())


def along_z(distance: float, angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, distance], [0, 0, 0, 1]])


def along_x(distance: float, angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0, distance], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])


def transform_tcp_to_base(joints: np.ndarray) -> np.ndarray:
    transform = np.eye(4)
    for (a, d, alpha), angle in zip(DH, joints, strict=True):
        transform = transform @ along_x(a, alpha) @ along_z(d, angle)
    return transform @ along_z(FLANGE, 0) @ along_z(TCP, HAND_ANGLE)


def test_forward_kinematics_are_those_of_the_published_parameters(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for joints in [np.array(fr3.HOME_JOINT_POSITIONS), *rng.uniform(LOWER, UPPER, (50, 7))]:
        data.qpos[:7] = joints
        mujoco.mj_kinematics(model, data)
        expected = transform_tcp_to_base(joints)
        site = data.site('tcp')
        np.testing.assert_allclose(site.xpos, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(site.xmat.reshape(3, 3), expected[:3, :3], atol=1e-6)


def test_the_home_pose_lies_inside_the_joint_limits_and_points_the_gripper_down() -> None:
    home = np.array(fr3.HOME_JOINT_POSITIONS)
    assert (home > LOWER + 0.1).all()
    assert (home < UPPER - 0.1).all()
    pose = transform_tcp_to_base(home)
    np.testing.assert_allclose(pose[:3, 2], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(pose[:3, 3], [0.307, 0.0, 0.487], atol=5e-4)


def test_the_model_has_the_limits_of_the_description(model: mujoco.MjModel) -> None:
    np.testing.assert_allclose(model.jnt_range[:7], np.stack([LOWER, UPPER], axis=1))
    assert model.jnt_limited[:9].all()
    torque = [joint.max_torque for joint in fr3.JOINTS]
    np.testing.assert_allclose(model.actuator_forcerange[:7, 1], torque)
    np.testing.assert_allclose(model.jnt_range[7:9], [[0, fr3.MAX_GRIPPER_WIDTH / 2]] * 2)


def test_the_model_weighs_what_the_links_weigh(model: mujoco.MjModel) -> None:
    arm = sum(joint.mass for joint in fr3.JOINTS)
    hand = fr3.HAND_MASS + 2 * fr3.FINGER_MASS
    assert model.body('fr3_link1').subtreemass[0] == pytest.approx(arm + hand, rel=1e-6)
    assert arm == pytest.approx(15.49, abs=0.01)  # without the base, which does not move
    assert hand == pytest.approx(0.71, abs=0.01)


def test_centres_of_mass_and_inertias_are_those_of_the_description(model: mujoco.MjModel) -> None:
    for index, joint in enumerate(fr3.JOINTS, start=1):
        body = model.body(f'fr3_link{index}')
        np.testing.assert_allclose(body.ipos, joint.center_of_mass, atol=1e-9)
        xx, yy, zz, xy, xz, yz = joint.inertia
        principal = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        np.testing.assert_allclose(np.sort(body.inertia), principal, rtol=1e-5)
