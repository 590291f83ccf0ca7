# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: their arguments, and how our nodes are started.

Presets are YAML files below ``config/``: ``robots/`` (parameters), ``drivers/`` (parameters, and
topics of arm and fingers), ``cameras/`` (the topic of the images) and ``interfaces/`` (parameters
of commander and simulator). A preset is named, or is a file of one's own; later parameters win:
presets in this order, ``params_file``, then the arguments of the launch file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from rclpy.parameter import parameter_dict_from_yaml_file

from vjepa_ros.bring_up import BringUp

SHARE = FindPackageShare('vjepa_ros')
BACKENDS = ['torch', 'torch-compile', 'onnxruntime', 'tensorrt']
PRECISIONS = ['float32', 'bfloat16', 'float16']
LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']
SWITCH = ['true', 'false']
THINKING = ('encoder', 'goal', 'planner', 'commander')
"""In the order in which they become active; the one that moves the arm comes last."""
_ENDING = 'vjepa_ros_ends'
NONE = 'none'  # `ros2 launch` takes no empty arguments

# Defaults are those of planner.launch.py; the other files give their own where they differ.
ARGUMENTS: dict[str, dict[str, Any]] = {
    'namespace': {'default_value': 'vjepa', 'description': 'Namespace of our nodes and topics'},
    'model': {
        'default_value': 'franka-sim',
        'description': 'World model: a name, a model directory or a .pt file',
    },
    'backend': {'default_value': 'torch', 'choices': BACKENDS, 'description': 'What computes'},
    'device': {
        'default_value': 'auto',
        'description': 'Where it computes: auto, cpu, cuda, cuda:1',
    },
    'precision': {
        'default_value': 'float32',
        'choices': PRECISIONS,
        'description': 'Number format of the products of matrices',
    },
    'composed': {
        'default_value': 'false',
        'choices': SWITCH,
        'description': 'One process with one copy of the model, instead of one process per node',
    },
    'robot': {
        'default_value': 'fr3',
        'description': 'Frames, joints and limits: a name in config/robots, or a YAML file',
    },
    'driver': {
        'default_value': NONE,
        'description': 'Names that the releases of a driver change, topics and gripper: a name in '
        'config/drivers, a YAML file, or none',
    },
    'camera': {
        'default_value': NONE,
        'description': 'Topic of the images: a name in config/cameras, a YAML file, or none',
    },
    'command_interface': {
        'default_value': NONE,
        'description': 'How the arm is commanded: a name in config/interfaces, a YAML file, or '
        'none: poses on target_pose_topic',
    },
    'image_topic': {
        'default_value': 'image',
        'description': 'Topic of the images; one that is given here wins over camera',
    },
    'image_transport': {
        'default_value': 'raw',
        'choices': ['raw', 'compressed'],
        'description': 'raw images on image_topic, or JPEG and PNG on image_topic/compressed, as '
        'from a camera on another machine',
    },
    'current_pose_topic': {
        'default_value': 'current_pose',
        'description': 'Topic of the measured pose of the end effector; one that is given here '
        'wins over driver',
    },
    'target_pose_topic': {
        'default_value': 'target_pose',
        'description': 'Topic of the poses that the arm follows (command interface pose)',
    },
    'joint_states_topic': {
        'default_value': '/joint_states',
        'description': 'Topic that has the finger joints, and the arm for joint_trajectory; '
        'one that is given here wins over driver',
    },
    'params_file': {'description': 'YAML file with the parameters of the nodes'},
    'use_sim_time': {
        'default_value': 'false',
        'choices': SWITCH,
        'description': 'Take the time from /clock',
    },
    'log_level': {
        'default_value': 'info',
        'choices': LOG_LEVELS,
        'description': 'Least severe log',
    },
}
RECORDER_ARGUMENTS = (
    'namespace',
    'robot',
    'driver',
    'camera',
    'image_topic',
    'image_transport',
    'current_pose_topic',
    'joint_states_topic',
    'params_file',
    'use_sim_time',
    'log_level',
)


def config_file(*parts: str) -> PathJoinSubstitution:
    """Return the path of an installed file below ``config/``."""
    return PathJoinSubstitution([SHARE, 'config', *parts])


def launch_arguments(*names: str, params: str, **defaults: str) -> list[DeclareLaunchArgument]:
    """Return declared arguments.

    Args:
        names: Which of :data:`ARGUMENTS`.
        params: Default of ``params_file``, a file in ``config/``.
        defaults: Defaults that differ from those of :data:`ARGUMENTS`.
    """
    values: dict[str, Any] = {**defaults, 'params_file': config_file(params)}
    own = {name: {'default_value': value} for name, value in values.items()}
    return [DeclareLaunchArgument(name, **ARGUMENTS[name] | own.get(name, {})) for name in names]


def fast_dds_profile() -> SetEnvironmentVariable:
    """Return the action that sets the profile for images; one that the user has set stays."""
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'
    default = config_file('fastdds_shm.xml')
    return SetEnvironmentVariable(variable, EnvironmentVariable(variable, default_value=default))


def argument(name: str, value_type: type = str) -> ParameterValue:
    """Return the value of a launch argument, as a parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=value_type)


def node(executable: str, parameters: list[Any], **arguments: Any) -> Node:  # noqa: ANN401
    """Return one of our nodes, in the namespace and with the log level of the launch file."""
    return Node(**_node_arguments(executable, parameters, **arguments))


def managed_node(name: str, parameters: list[Any], **arguments: Any) -> LifecycleNode:  # noqa: ANN401
    """Return the same, but for somebody to configure and activate it."""
    parameters = [*parameters, {'managed': True}]
    return LifecycleNode(name=name, **_node_arguments(name, parameters, **arguments))


def _node_arguments(
    executable: str,
    parameters: list[Any],
    **arguments: Any,  # noqa: ANN401
) -> dict[str, Any]:
    return {
        'package': 'vjepa_ros',
        'executable': executable,
        'namespace': LaunchConfiguration('namespace'),
        'parameters': parameters,
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'output': 'screen',
        'sigterm_timeout': '20',  # torch ends slowly on a busy machine
    } | arguments


def end_all(reason: str) -> OpaqueFunction:
    """Return the action on the exit of a node without which the others are of no use.

    It asks once, however many end: launch_ros fails when it is told a second time.
    """

    def end(context: LaunchContext) -> list[Action]:
        if context.is_shutdown or hasattr(context.locals, _ENDING):
            return []
        context.extend_globals({_ENDING: True})
        return [Shutdown(reason=reason)]

    return OpaqueFunction(function=end)


def preset_file(context: LaunchContext, argument_name: str, folder: str) -> Path | None:
    """Return the file of a preset, or None if the argument is ``none``.

    Args:
        context: Of the launch.
        argument_name: The launch argument that names it.
        folder: Below ``config/``.

    Raises:
        RuntimeError: There is no such preset.
    """
    value = LaunchConfiguration(argument_name).perform(context)
    if value == NONE:
        return None
    directory = Path(get_package_share_directory('vjepa_ros'), 'config', folder)
    for path in (Path(value).expanduser(), directory / f'{value}.yaml'):
        if path.is_file():
            return path
    known = ', '.join(sorted(path.stem for path in directory.glob('*.yaml'))) or 'there are none'
    raise RuntimeError(
        f'{argument_name}:={value} is neither a file nor a preset. Presets: {known}.'
    )


def topic(context: LaunchContext, name: str) -> str:
    """Return the topic of an input: the argument if one is given, else that of a preset.

    Args:
        context: Of the launch.
        name: ``image``, ``current_pose``, ``joint_states`` or ``target_pose``.

    Raises:
        RuntimeError: There is no such preset.
    """
    argument_name = f'{name}_topic'
    value = LaunchConfiguration(argument_name).perform(context)
    if value != ARGUMENTS[argument_name]['default_value']:
        return value
    kind, folder = ('camera', 'cameras') if name == 'image' else ('driver', 'drivers')
    preset = preset_file(context, kind, folder)
    if preset is None:
        return value
    values = parameter_dict_from_yaml_file(str(preset), use_wildcard=True)
    return values[argument_name].value.string_value if argument_name in values else value


def remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """Return the topics of camera and arm that are not called as our nodes call them.

    Raises:
        RuntimeError: There is no such preset.
    """
    pairs = [
        (name, topic(context, name))
        for name in ('image', 'current_pose', 'target_pose')
        if f'{name}_topic' in context.launch_configurations
    ]
    return [(name, value) for name, value in pairs if value != name]


def robot_parameters(context: LaunchContext) -> list[Any]:
    """Return the parameters of presets, file and arguments, of which later ones win."""
    presets = [
        preset_file(context, 'robot', 'robots'),
        preset_file(context, 'driver', 'drivers'),
    ]
    if 'command_interface' in context.launch_configurations:
        presets.append(preset_file(context, 'command_interface', 'interfaces'))
    given = {
        'use_sim_time': argument('use_sim_time', bool),
        'joint_states_topic': topic(context, 'joint_states'),
    }
    if 'image_transport' in context.launch_configurations:
        given['image_transport'] = argument('image_transport')
    return [
        *(str(path) for path in presets if path is not None),
        LaunchConfiguration('params_file'),
        given,
    ]


def thinking_nodes(context: LaunchContext) -> list[Action]:
    """Return encoder, goal, planner and commander, and what brings them up in this order.

    When one ends, all end: none is of use alone. A composed process brings its nodes up by itself.

    Raises:
        RuntimeError: A preset does not exist.
    """
    model = {name: argument(name) for name in ('model', 'backend', 'device', 'precision')}
    parameters = [*robot_parameters(context), model]

    def options(executable: str) -> dict[str, Any]:
        return {
            'remappings': remappings(context),
            'on_exit': end_all(f'{executable} ended'),
        }

    if LaunchConfiguration('composed').perform(context) == 'true':
        return [node('composed', parameters, **options('composed'))]
    nodes = [managed_node(name, parameters, **options(name)) for name in THINKING]
    return [*nodes, *BringUp(nodes).actions()]
