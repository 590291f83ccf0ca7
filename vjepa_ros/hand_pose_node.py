# SPDX-License-Identifier: Apache-2.0
"""The node ``hand_pose``: the measured pose of the hand, out of the joint states.

For Gazebo and mock hardware, and for arms whose driver measures the pose of another frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from vjepa_msgs.msg import Status
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import matrix_to_quaternion_xyzw
from vjepa_planner.robots import fr3
from vjepa_planner.robots.kinematics import ArmKinematics
from vjepa_ros import conversions, qos
from vjepa_ros.node import VjepaNode
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.spin import run


@dataclass(frozen=True, kw_only=True)
class HandPoseConfig:
    """Names of frames, joints and topics."""

    base_frame: str = setting(
        fr3.BASE_FRAME, 'Frame that poses are expressed in: where the arm begins', read_only=True
    )
    ee_frame: str = setting(
        fr3.TCP_FRAME,
        'Frame whose pose is published: a name that ends in link8, hand or hand_tcp',
        read_only=True,
    )
    joint_names: tuple[str, ...] = setting(
        fr3.ARM_JOINT_NAMES, 'The seven joints of the arm, from the base on', read_only=True
    )
    joint_states_topic: str = setting(
        '/joint_states', 'Topic of the measured joint positions', read_only=True
    )

    def __post_init__(self) -> None:
        """Check that there are seven joints."""
        if len(self.joint_names) != len(fr3.JOINTS):
            raise InvalidInputError(
                f'joint_names must have {len(fr3.JOINTS)} entries, got {list(self.joint_names)}.'
            )


class HandPoseNode(VjepaNode):
    """Publishes ``current_pose`` with the stamp of every joint state that has the whole arm."""

    def __init__(self) -> None:
        """Begin to listen.

        Raises:
            VjepaPlannerError: ``ee_frame`` is no frame of a Franka Hand, or joints are missing.
        """
        super().__init__('hand_pose')
        self._config: HandPoseConfig = ConfigParameters(self, HandPoseConfig()).value
        self._kinematics = ArmKinematics(self._config.ee_frame)
        self._publisher = self.create_publisher(
            PoseStamped,
            'current_pose',
            qos.ROBOT_STATE_SOURCE,
            qos_overriding_options=qos.OVERRIDABLE,
        )
        self.create_subscription(
            JointState,
            self._config.joint_states_topic,
            self._on_joint_states,
            qos.ROBOT_STATE,
            qos_overriding_options=qos.OVERRIDABLE,
        )
        names = self._config.joint_names
        self.status.update(
            reason=f'no joint state with {names[0]} .. {names[-1]} yet on '
            f'{self._config.joint_states_topic}.'
        )

    def _on_joint_states(self, message: JointState) -> None:
        try:
            joints = conversions.joint_positions_from_message(message, self._config.joint_names)
        except InvalidInputError as error:
            self.status.reject(str(error))
            return
        if joints is None:  # of the fingers alone, say
            return
        posture = self._kinematics.posture(joints)
        header = Header(stamp=message.header.stamp, frame_id=self._config.base_frame)
        quaternion = matrix_to_quaternion_xyzw(posture.rotation)
        self._publisher.publish(conversions.pose_to_message(posture.position, quaternion, header))
        self.status.accept()
        self.status.update(state=Status.EXECUTING, reason='')


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [HandPoseNode()])
