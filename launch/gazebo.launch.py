# SPDX-License-Identifier: Apache-2.0
"""The Franka with table and camera in Gazebo Harmonic, and the nodes that move it.

Needs ros_gz, gz_ros2_control, ros2_controllers, xacro and franka_description: docs/gazebo.md says
how to install them, and what of this was run where. The arm holds until there is a goal.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    AppendEnvironmentVariable,
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.conditions import IfCondition, UnlessCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import Command, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vjepa_ros.launching import (
    argument,
    ARGUMENTS,
    config_file,
    end_all,
    fast_dds_profile,
    launch_arguments,
    node,
    remappings,
    robot_parameters,
    SHARE,
    SWITCH,
    thinking_nodes,
)

CONTROLLERS = ('joint_state_broadcaster', 'fr3_arm_controller', 'fr3_gripper_controller')
OWN_ARGUMENTS = (
    DeclareLaunchArgument(
        'world',
        default_value=PathJoinSubstitution([SHARE, 'gazebo', 'worlds', 'table.sdf']),
        description='SDF file of the world; the arm is put at its origin',
    ),
    DeclareLaunchArgument(
        'gui', default_value='true', choices=SWITCH, description="Open Gazebo's window"
    ),
)


def _gazebo() -> list[IncludeLaunchDescription]:
    """Return Gazebo with or without its window; when it ends, everything ends."""
    source = PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])
    gui = LaunchConfiguration('gui')
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source),
            launch_arguments={
                'gz_args': [options, LaunchConfiguration('world')],
                'on_exit_shutdown': 'true',
            }.items(),
            condition=condition,
        )
        for options, condition in (
            ('-r ', IfCondition(gui)),
            ('-r -s --headless-rendering ', UnlessCondition(gui)),
        )
    ]


def _arm() -> list[Node]:
    """Return what describes the arm, puts it into the world and starts its controllers."""
    controllers = config_file('gazebo', 'controllers.yaml')
    urdf = PathJoinSubstitution([SHARE, 'gazebo', 'urdf', 'fr3.gazebo.urdf.xacro'])
    description = Command(['xacro ', urdf, ' controllers:=', controllers])
    return [
        Node(
            package='robot_state_publisher',
            executable='robot_state_publisher',
            parameters=[
                {
                    'robot_description': ParameterValue(description, value_type=str),
                    'use_sim_time': argument('use_sim_time', bool),
                }
            ],
        ),
        Node(
            package='ros_gz_sim',
            executable='create',
            arguments=['-topic', '/robot_description', '-name', 'fr3'],
        ),
        Node(
            package='controller_manager',
            executable='spawner',
            arguments=[
                *CONTROLLERS,
                '--param-file',
                controllers,
                '--controller-manager-timeout',
                '120',  # Gazebo takes a while to start
            ],
        ),
    ]


def _bridge(context: LaunchContext) -> list[Node]:
    """Return the bridge of clock and camera, in the namespace of our nodes."""
    return [
        Node(
            package='ros_gz_bridge',
            executable='parameter_bridge',
            namespace=LaunchConfiguration('namespace'),
            parameters=[{'config_file': config_file('gazebo', 'bridge.yaml')}],
            remappings=remappings(context),
        )
    ]


def _stand_ins(context: LaunchContext) -> list[Node]:
    """Return our nodes in the place of an arm's driver."""
    return [
        node(
            executable,
            robot_parameters(context),
            remappings=remappings(context),
            on_exit=end_all(f'{executable} ended'),
        )
        for executable in ('hand_pose', 'gripper')
    ]


def generate_launch_description() -> LaunchDescription:
    """Return Gazebo, the arm, and the nodes that drive it."""
    models = PathJoinSubstitution([FindPackageShare('franka_description'), '..'])
    return LaunchDescription(
        [
            *launch_arguments(
                *ARGUMENTS,
                params='simulation.yaml',
                driver='gazebo',
                command_interface='joint_trajectory',
                use_sim_time='true',
            ),
            *OWN_ARGUMENTS,
            fast_dds_profile(),
            AppendEnvironmentVariable('GZ_SIM_RESOURCE_PATH', models),  # meshes of the arm
            *_gazebo(),
            *_arm(),
            OpaqueFunction(function=_bridge),
            OpaqueFunction(function=_stand_ins),
            OpaqueFunction(function=thinking_nodes),
        ]
    )
