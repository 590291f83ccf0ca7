# SPDX-License-Identifier: Apache-2.0
"""The recorder: what the planner sees becomes a dataset for training. See ``--show-args``.

It expects a camera on ``image``, measured poses on ``current_pose`` and the finger joints, and
records between the services ``start_recording`` and ``stop_recording``.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from vjepa_ros.launching import (
    fast_dds_profile,
    launch_arguments,
    node,
    RECORDER_ARGUMENTS,
    remappings,
    robot_parameters,
)


def _recorder(context: LaunchContext) -> list[Node]:
    return [
        node(
            'recorder',
            robot_parameters(context),
            remappings=remappings(context),
            sigterm_timeout='60',  # a long episode takes a while to write
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the recorder."""
    return LaunchDescription(
        [
            *launch_arguments(*RECORDER_ARGUMENTS, params='recorder.yaml'),
            fast_dds_profile(),
            OpaqueFunction(function=_recorder),
        ]
    )
