# SPDX-License-Identifier: Apache-2.0
"""Everything that thinks: encoder, goal, planner and commander.

It expects a camera on ``image``, measured poses on ``current_pose``, and something that follows
``target_pose``: the simulator, or the controller of a real arm. See ``--show-args``.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('vjepa_ros')
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
            default_value=PathJoinSubstitution([SHARE, 'config', 'planner.yaml']),
            description='YAML file with the parameters of the nodes',
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


def _node(executable: str, **arguments: object) -> Node:
    """Return one of our nodes; when it ends, everything ends, because none is of use alone."""
    model = {
        name: ParameterValue(LaunchConfiguration(name), value_type=str)
        for name in ('model', 'backend', 'device', 'precision')
    }
    use_sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return Node(
        package='vjepa_ros',
        executable=executable,
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {**model, 'use_sim_time': use_sim_time},
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
        sigterm_timeout='20',  # a process with torch ends slowly on a busy machine
        on_exit=Shutdown(reason=f'{executable} ended'),
        **arguments,
    )


def generate_launch_description() -> LaunchDescription:
    """Return the four nodes, as processes or composed."""
    composed = LaunchConfiguration('composed')
    profile = PathJoinSubstitution([SHARE, 'config', 'fastdds_shm.xml'])
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'  # a profile that the user has set stays
    return LaunchDescription(
        [
            *_launch_arguments(),
            SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=profile)),
            _node('composed', condition=IfCondition(composed)),
            _node('encoder', condition=UnlessCondition(composed)),
            _node('goal', condition=UnlessCondition(composed)),
            _node('planner', condition=UnlessCondition(composed)),
            _node('commander', condition=UnlessCondition(composed)),
        ]
    )
