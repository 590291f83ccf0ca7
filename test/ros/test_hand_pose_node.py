# SPDX-License-Identifier: Apache-2.0
"""The pose of the hand out of joint states, beside what the simulator measures."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import JointState

from vjepa_msgs.msg import Status
from vjepa_planner.robots import fr3
from vjepa_ros import conversions, qos
from vjepa_ros.hand_pose_node import HandPoseNode


def joint_state(graph, names=fr3.ARM_JOINT_NAMES, positions=fr3.HOME_JOINT_POSITIONS):
    message = JointState(name=list(names), position=list(positions))
    message.header.stamp = graph.now()
    return message


def pose_of(message: PoseStamped) -> np.ndarray:
    return np.concatenate(conversions.pose_from_message(message))


def begin(graph, **parameters) -> None:
    graph.begin(hand_pose=parameters)
    graph.start(HandPoseNode())
    graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    graph.joints = graph.publisher(JointState, '/joint_states', qos.ROBOT_STATE)
    graph.wait_until(lambda: graph.observer.count_publishers('current_pose'), 'the publisher')


def test_it_says_what_the_simulator_measures(graph):
    pytest.importorskip('mujoco')
    from vjepa_ros.simulator_node import SimulatorNode

    graph.begin(
        'hand_pose:current_pose:=computed_pose',
        simulator={'image_size': 16, 'image_rate': 0.1, 'seed': 3},
    )
    graph.start(SimulatorNode())
    graph.start(HandPoseNode())
    measured = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    computed = graph.record(PoseStamped, 'computed_pose', qos.ROBOT_STATE)

    def both() -> tuple[PoseStamped, PoseStamped] | None:
        stamps = {str(message.header.stamp): message for message in list(measured)}
        return next(
            (
                (stamps[str(message.header.stamp)], message)
                for message in list(computed)
                if str(message.header.stamp) in stamps
            ),
            None,
        )

    said, own = graph.wait_until(both, 'two poses of the same moment')
    assert own.header.frame_id == said.header.frame_id == 'fr3_link0'
    np.testing.assert_allclose(pose_of(own)[:3], pose_of(said)[:3], atol=1e-4)
    assert abs(pose_of(own)[3:] @ pose_of(said)[3:]) > 1 - 1e-6


@pytest.mark.parametrize(
    ('frame', 'above'), [('fr3_link8', fr3.TCP_OFFSET_Z), ('fr3_hand_tcp', 0)]
)
def test_it_publishes_the_frame_that_is_asked_for(graph, frame, above):
    begin(graph, ee_frame=frame, base_frame='base')
    sent = joint_state(graph)
    graph.joints.publish(sent)
    (pose,) = graph.wait_until(lambda: graph.poses, 'a pose')
    # Franka's own home: the hand points down, 0.307 m before the base, its flange at 0.590 m.
    np.testing.assert_allclose(pose_of(pose)[:3], (0.307, 0.0, 0.487 + above), atol=1e-3)
    assert pose.header.frame_id == 'base'
    assert pose.header.stamp == sent.header.stamp


def test_joints_of_the_fingers_alone_are_no_pose_and_nan_is_refused(graph):
    begin(graph)
    assert (
        'fr3_joint1 .. fr3_joint7 yet on /joint_states'
        in graph.wait_for_status('hand_pose', Status.WAITING, 'no joint state').reason
    )
    graph.joints.publish(joint_state(graph, fr3.FINGER_JOINT_NAMES, (0.01, 0.01)))
    graph.joints.publish(joint_state(graph, positions=[np.nan] * 7))
    graph.wait_for_status('hand_pose', Status.WAITING, 'NaN')
    assert not graph.poses
    graph.joints.publish(joint_state(graph))
    graph.wait_until(lambda: graph.poses, 'a pose')
    graph.wait_for_status('hand_pose', Status.EXECUTING)
