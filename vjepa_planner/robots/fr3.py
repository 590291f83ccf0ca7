# SPDX-License-Identifier: Apache-2.0
"""The Franka Research 3 with the Franka Hand, in published numbers.

Kinematics, joint limits and inertial parameters are those of Franka Robotics'
``franka_description`` (Apache-2.0, ``robots/fr3/{kinematics,joint_limits,inertials}.yaml`` and
``end_effectors/franka_hand``, commit 566ba44). SI units, radians.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

BASE_FRAME = 'fr3_link0'
TCP_FRAME = 'fr3_hand_tcp'

ARM_JOINT_NAMES: tuple[str, ...] = tuple(f'fr3_joint{i}' for i in range(1, 8))
FINGER_JOINT_NAMES: tuple[str, ...] = ('fr3_finger_joint1', 'fr3_finger_joint2')

HOME_JOINT_POSITIONS: tuple[float, ...] = (
    0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4,
)  # fmt: skip
"""The pose that Franka's own examples start from [rad]."""

MAX_GRIPPER_WIDTH = 0.08
"""Opening of the Franka Hand [m]; each finger travels half of it."""

TCP_OFFSET_Z = 0.1034
"""From ``fr3_hand`` to ``fr3_hand_tcp`` along z [m]."""


@dataclass(frozen=True)
class Joint:
    """One revolute joint and the link that it moves.

    Attributes:
        origin: Joint frame in the parent link, x y z [m].
        roll: Rotation of the joint frame about the parent's x axis [rad].
        lower: Lower position limit [rad].
        upper: Upper position limit [rad].
        max_velocity: Velocity limit [rad/s].
        max_torque: Torque limit [N m].
        mass: Mass of the moved link [kg].
        center_of_mass: In the link frame, x y z [m].
        inertia: About the centre of mass, xx yy zz xy xz yz [kg m^2].
    """

    origin: tuple[float, float, float]
    roll: float
    lower: float
    upper: float
    max_velocity: float
    max_torque: float
    mass: float
    center_of_mass: tuple[float, float, float]
    inertia: tuple[float, float, float, float, float, float]


_Q = math.pi / 2

# fmt: off
JOINTS: tuple[Joint, ...] = (
    Joint((0, 0, 0.333), 0, -2.7437, 2.7437, 2.62, 87, 2.9274653454,
          (0.0000004128, -0.0181251324, -0.0386035970),
          (0.0239273165, 0.0224821613, 0.0063500983, 0.0000133179, -0.0001140477, -0.0019950321)),
    Joint((0, 0, 0), -_Q, -1.7837, 1.7837, 2.62, 87, 2.9355370338,
          (0.0031828864, -0.0743221644, 0.0088146084),
          (0.0419389463, 0.0251451488, 0.0617021447, 0.0002025733, 0.0040777842, -0.0042252158)),
    Joint((0, -0.316, 0), _Q, -2.9007, 2.9007, 2.62, 87, 2.2449013699,
          (0.0407015686, -0.0048200565, -0.0289730823),
          (0.0241014255, 0.0197405327, 0.0190444945, 0.0024046946, -0.0028562693, -0.0021042127)),
    Joint((0.0825, 0, 0), _Q, -3.0421, -0.1518, 2.62, 87, 2.6155955791,
          (-0.0459100965, 0.0630492960, -0.0085187868),
          (0.0345299832, 0.0288816219, 0.0412547117, 0.0132255226, 0.0101514300, -0.0009762834)),
    Joint((-0.0825, 0.384, 0), -_Q, -2.8065, 2.8065, 5.26, 12, 2.3271207594,
          (-0.0016039605, 0.0292536262, -0.0972965990),
          (0.0516102785, 0.0478772971, 0.0164236256, -0.0057151734, -0.0035673168, 0.0106739851)),
    Joint((0, 0, 0), _Q, 0.5445, 4.5169, 4.18, 12, 1.8170376524,
          (0.0597131221, -0.0410294666, -0.0101692726),
          (0.0054123336, 0.0140583295, 0.0160808179, 0.0061934564, 0.0014219289, -0.0013140754)),
    Joint((0.088, 0, 0), _Q, -3.0159, 3.0159, 5.26, 12, 0.6271432862,
          (0.0045225817, 0.0086261921, -0.0161633251),
          (0.0002109239, 0.0001771857, 0.0000599319, -0.0000243330, 0.0000456456, 0.0000874407)),
)
# fmt: on

RECOMMENDED_JOINT_VELOCITIES: tuple[float, ...] = (2.0, 1.0, 1.5, 1.25, 3.0, 1.5, 3.0)
"""What the manufacturer suggests to keep to in the middle of the ranges [rad/s].

The limits of the FR3 shrink towards the ends of the ranges (Franka Robotics' documentation, robot
specifications, "position based velocity limits").
"""

FLANGE_OFFSET_Z = 0.107
"""From joint 7 to the flange ``fr3_link8`` along z [m]."""

HAND_YAW = -math.pi / 4
"""Rotation of ``fr3_hand`` about the flange's z axis [rad]."""

HAND_MASS = 0.6544
HAND_CENTER_OF_MASS = (-0.0000376, 0.0119128, 0.0207260)
HAND_INERTIA = (0.00186, 0.00030, 0.00174, 0.0, 0.0, -0.00002)

FINGER_MASS = 0.0291
FINGER_CENTER_OF_MASS = (0.0, 0.0152850, 0.0219675)
FINGER_INERTIA = (0.00000849, 0.00000853, 0.00000177, 0.0, 0.0, -0.00000106)
FINGER_ORIGIN_Z = 0.0584
"""From ``fr3_hand`` to the finger joints along z [m]."""
