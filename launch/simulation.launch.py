# SPDX-License-Identifier: Apache-2.0
"""The simulated Franka with its camera, and the nodes that move it. See ``--show-args``.

The arm holds until there is a goal: call the service ``set_goal_image`` or ``capture_goal``.
With ``use_sim_time`` the simulator publishes /clock; a graph has one, so only one suite then.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from vjepa_ros.launching import (
    argument,
    ARGUMENTS,
    end_all,
    fast_dds_profile,
    launch_arguments,
    node,
    preset_file,
    remappings,
    thinking_nodes,
)


def _simulator(context: LaunchContext) -> list[Node]:
    """Return the simulator; when it ends, everything ends."""
    parameters = {
        'publish_clock': argument('use_sim_time', bool),
        'joint_states_topic': argument('joint_states_topic'),
        'seed': argument('seed', int),
    }
    interface = preset_file(context, 'command_interface', 'interfaces')
    presets = [] if interface is None else [str(interface)]
    return [
        node(
            'simulator',
            [*presets, LaunchConfiguration('params_file'), parameters],
            remappings=remappings(context),
            on_exit=end_all('simulator ended'),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the simulator and the nodes that drive it."""
    seed = DeclareLaunchArgument(
        'seed', default_value='0', description='Seed of object places, start pose and looks'
    )
    return LaunchDescription(
        [
            # Relative: two simulations in two namespaces must not share their joints.
            *launch_arguments(
                *ARGUMENTS, params='simulation.yaml', joint_states_topic='joint_states'
            ),
            seed,
            fast_dds_profile(),
            OpaqueFunction(function=_simulator),
            OpaqueFunction(function=thinking_nodes),
        ]
    )
