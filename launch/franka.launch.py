# SPDX-License-Identifier: Apache-2.0
"""A real Franka arm that franka_ros2 and a Cartesian controller already run. See ``--show-args``.

It attaches: neither the arm's driver nor its controller is started, and the arm does not move
before the service ``start`` is called. docs/real_robot.md leads through the first hour.
"""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from vjepa_ros.launching import ARGUMENTS, fast_dds_profile, launch_arguments, thinking_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the four nodes with the topics of a real arm."""
    return LaunchDescription(
        [
            *launch_arguments(
                *ARGUMENTS,
                params='planner.yaml',
                camera='realsense',
                driver='franka_ros2_3',
                target_pose_topic='/target_pose',
            ),
            fast_dds_profile(),
            OpaqueFunction(function=thinking_nodes),
        ]
    )
