# SPDX-License-Identifier: Apache-2.0
"""Everything that thinks: encoder, goal, planner and commander.

It expects a camera on ``image``, measured poses on ``current_pose``, and something that follows
``target_pose``: the simulator, or the controller of a real arm. See ``--show-args``.
"""

from launch import LaunchDescription
from launch.actions import OpaqueFunction

from vjepa_ros.launching import ARGUMENTS, fast_dds_profile, launch_arguments, thinking_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the four nodes, as processes or composed."""
    return LaunchDescription(
        [
            *launch_arguments(*ARGUMENTS, params='planner.yaml'),
            fast_dds_profile(),
            OpaqueFunction(function=thinking_nodes),
        ]
    )
