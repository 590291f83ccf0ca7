# SPDX-License-Identifier: Apache-2.0
"""The parameter files of config/: rclpy ignores a name that no node declares, so we look."""

from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip('yaml')
pytest.importorskip('torch')
pytest.importorskip('mujoco')

from vjepa_ros.command_interfaces import available_command_interfaces  # noqa: E402
from vjepa_ros.commander_node import CommanderNode  # noqa: E402
from vjepa_ros.encoder_node import EncoderNode  # noqa: E402
from vjepa_ros.goal_node import GoalNode  # noqa: E402
from vjepa_ros.gripper_node import GripperNode  # noqa: E402
from vjepa_ros.hand_pose_node import HandPoseNode  # noqa: E402
from vjepa_ros.planner_node import PlannerNode  # noqa: E402
from vjepa_ros.recorder_node import RecorderNode  # noqa: E402
from vjepa_ros.simulator_node import SimulatorNode  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    file
    for folder in ('', 'robots', 'drivers', 'interfaces')
    for file in (ROOT / 'config' / folder).glob('*.yaml')
)
CLASSES = {
    'commander': CommanderNode,
    'encoder': EncoderNode,
    'goal': GoalNode,
    'gripper': GripperNode,
    'hand_pose': HandPoseNode,
    'planner': PlannerNode,
    'recorder': RecorderNode,
    'simulator': SimulatorNode,
}
SECTIONS = [
    pytest.param(file, section, id=f'{file.stem}-{section.rpartition("/")[2]}')
    for file in FILES
    for section in yaml.safe_load(file.read_text())
    if section != '/**'
]
DRIVERS = sorted((ROOT / 'config' / 'drivers').glob('*.yaml'))
GENERATIONS = [file for file in DRIVERS if file.stem.startswith('franka_ros2')]


@pytest.mark.parametrize(('file', 'section'), SECTIONS)
def test_every_parameter_of_a_file_exists_and_is_taken(graph, tiny_model, file, section):
    values = yaml.safe_load(file.read_text())[section]['ros__parameters']
    name = section.removeprefix('/**/')
    models = {'model': str(tiny_model)} if name in ('encoder', 'planner') else {}
    graph.begin(**{name: values | models})
    node = CLASSES[name]()
    graph.start(node)
    for parameter, value in values.items():
        assert node.has_parameter(parameter), f'{name} has no parameter {parameter}'
        taken = node.get_parameter(parameter).value
        assert (list(taken) if isinstance(value, list) else taken) == value


@pytest.mark.parametrize(
    'file', sorted((ROOT / 'config' / 'cameras').glob('*.yaml')), ids=lambda file: file.stem
)
def test_a_camera_preset_is_an_absolute_topic_and_nothing_else(file):
    values = yaml.safe_load(file.read_text())['/**']['ros__parameters']
    assert set(values) == {'image_topic'}
    assert values['image_topic'].startswith('/')


@pytest.mark.parametrize(
    'file', sorted((ROOT / 'config' / 'robots').glob('*.yaml')), ids=lambda file: file.stem
)
def test_the_nodes_of_a_robot_agree_on_its_frames(file):
    sections = [
        section['ros__parameters'] for section in yaml.safe_load(file.read_text()).values()
    ]
    assert len(sections) == 5
    for name in ('base_frame', 'ee_frame', 'finger_joints'):
        assert len({str(values[name]) for values in sections if name in values}) == 1


def driver(file: Path) -> dict[str, dict[str, str]]:
    """Return the sections of a driver's preset, by node; topics below ``''``."""
    content = yaml.safe_load(file.read_text())
    return {
        name.removeprefix('/**').removeprefix('/'): section['ros__parameters']
        for name, section in content.items()
    }


@pytest.mark.parametrize('file', DRIVERS, ids=lambda file: file.stem)
def test_a_driver_preset_renames_topics_that_the_launch_files_read_and_they_are_absolute(file):
    topics = driver(file)['']
    assert topics
    assert set(topics) <= {'current_pose_topic', 'joint_states_topic'}
    assert all(topic.startswith('/') for topic in topics.values())


@pytest.mark.parametrize('file', DRIVERS, ids=lambda file: file.stem)
def test_the_nodes_of_a_driver_agree_on_its_names(file):
    sections = driver(file).values()
    grippers = {item['gripper_namespace'] for item in sections if 'gripper_namespace' in item}
    assert len(grippers) == 1
    assert next(iter(grippers)).startswith('/')
    assert len({item['base_frame'] for item in sections if 'base_frame' in item}) <= 1


def test_the_gripper_was_renamed_between_the_first_and_the_second_generation():
    names = {file.stem: driver(file)['commander']['gripper_namespace'] for file in GENERATIONS}
    assert names == {
        'franka_ros2_1': '/fr3_gripper',
        'franka_ros2_2': '/franka_gripper',
        'franka_ros2_3': '/franka_gripper',
    }
    fingers = driver(GENERATIONS[0])['']['joint_states_topic']
    assert fingers == '/fr3_gripper/joint_states'


@pytest.mark.parametrize('name', available_command_interfaces())
def test_every_command_interface_has_a_preset_for_both_sides(name):
    file = ROOT / 'config' / 'interfaces' / f'{name}.yaml'
    commander, simulator = (
        yaml.safe_load(file.read_text())[f'/**/{node}']['ros__parameters']
        for node in ('commander', 'simulator')
    )
    assert commander['command_interface'] == name
    assert simulator.items() <= commander.items()
