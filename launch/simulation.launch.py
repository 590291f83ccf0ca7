# SPDX-License-Identifier: Apache-2.0
"""The simulated Franka with its camera, and planner.launch.py to move it. See ``--show-args``.

The arm holds until there is a goal: call the service ``set_goal_image`` or ``capture_goal``.
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('vjepa_ros')
PASSED_ON = (
    'namespace',
    'model',
    'backend',
    'device',
    'precision',
    'composed',
    'params_file',
    'use_sim_time',
    'log_level',
)
BACKENDS = ['torch', 'torch-compile', 'onnxruntime', 'tensorrt']
PRECISIONS = ['float32', 'bfloat16', 'float16']
LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']


def _launch_arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'namespace', default_value='vjepa', description='Namespace of all nodes and topics'
        ),
        DeclareLaunchArgument(
            'model',
            default_value='franka-sim',
            description='World model: a name, a model directory or a .pt file',
        ),
        DeclareLaunchArgument(
            'backend', default_value='torch', choices=BACKENDS, description='What computes'
        ),
        DeclareLaunchArgument(
            'device',
            default_value='auto',
            description='Where it computes: auto, cpu, cuda, cuda:1',
        ),
        DeclareLaunchArgument(
            'precision',
            default_value='float32',
            choices=PRECISIONS,
            description='Number format of the products of matrices',
        ),
        DeclareLaunchArgument(
            'composed',
            default_value='false',
            choices=['true', 'false'],
            description='One process with one copy of the model, instead of one process per node',
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution([SHARE, 'config', 'simulation.yaml']),
            description='YAML file with the parameters of the nodes',
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='false',
            choices=['true', 'false'],
            description='The simulator publishes /clock, and all nodes take their time from it',
        ),
        DeclareLaunchArgument(
            'seed', default_value='0', description='Seed of object places, start pose and looks'
        ),
        DeclareLaunchArgument(
            'log_level', default_value='info', choices=LOG_LEVELS, description='Least severe log'
        ),
    ]


def _simulator() -> Node:
    """Return the simulator; when it ends, everything ends."""
    publish_clock = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    seed = ParameterValue(LaunchConfiguration('seed'), value_type=int)
    return Node(
        package='vjepa_ros',
        executable='simulator',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {'publish_clock': publish_clock, 'seed': seed},
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
        sigterm_timeout='20',
        on_exit=Shutdown(reason='simulator ended'),
    )


def generate_launch_description() -> LaunchDescription:
    """Return the simulator and the nodes that drive it."""
    profile = PathJoinSubstitution([SHARE, 'config', 'fastdds_shm.xml'])
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'  # a profile that the user has set stays
    planner = IncludeLaunchDescription(
        PathJoinSubstitution([SHARE, 'launch', 'planner.launch.py']),
        launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
    )
    return LaunchDescription(
        [
            *_launch_arguments(),
            SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=profile)),
            _simulator(),
            planner,
        ]
    )
