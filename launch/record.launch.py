# SPDX-License-Identifier: Apache-2.0
"""The recorder: what the planner sees becomes a dataset for training. See ``--show-args``.

It expects a camera on ``image``, measured poses on ``current_pose`` and the finger joints, and
records between the services ``start_recording`` and ``stop_recording``.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('vjepa_ros')
LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']


def _launch_arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'namespace', default_value='vjepa', description='Namespace of the node and its topics'
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution([SHARE, 'config', 'recorder.yaml']),
            description='YAML file with the parameters of the node, such as output_directory',
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='false',
            choices=['true', 'false'],
            description='Take the time from /clock',
        ),
        DeclareLaunchArgument(
            'log_level', default_value='info', choices=LOG_LEVELS, description='Least severe log'
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the recorder."""
    profile = PathJoinSubstitution([SHARE, 'config', 'fastdds_shm.xml'])
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'  # a profile that the user has set stays
    use_sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    recorder = Node(
        package='vjepa_ros',
        executable='recorder',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), {'use_sim_time': use_sim_time}],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
        sigterm_timeout='60',  # a long episode takes a while to write
    )
    return LaunchDescription(
        [
            *_launch_arguments(),
            SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=profile)),
            recorder,
        ]
    )
