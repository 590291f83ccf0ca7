# SPDX-License-Identifier: Apache-2.0
"""What `ros2 param describe` says of every parameter of every node."""

from __future__ import annotations

import pytest

pytest.importorskip('torch')
pytest.importorskip('mujoco')

from rclpy.parameter import Parameter

from vjepa_ros.command_interfaces import available_command_interfaces
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode
from vjepa_ros.gripper_node import GripperNode
from vjepa_ros.hand_pose_node import HandPoseNode
from vjepa_ros.planner_node import PlannerNode
from vjepa_ros.recorder_node import RecorderNode
from vjepa_ros.simulator_node import SimulatorNode

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
NUMBERS = (Parameter.Type.INTEGER, Parameter.Type.DOUBLE)
# A name that ends like this is a quantity, and the description ends with its unit.
QUANTITIES = ('_age', '_timeout', '_duration', '_rate', '_speed', '_acceleration', '_force')


def is_of_rclpy(name: str) -> bool:
    """Say whether rclpy declares a parameter, and not we."""
    return name.startswith(('qos_overrides.', 'start_type_description')) or name == 'use_sim_time'


INTERFACES = [
    ('commander', {'command_interface': name}) for name in available_command_interfaces()
]


@pytest.mark.parametrize(
    ('name', 'parameters'), [*((name, {}) for name in CLASSES if name != 'commander'), *INTERFACES]
)
def test_every_parameter_is_described_with_unit_and_range(graph, tiny_model, name, parameters):
    models = {'model': str(tiny_model)} if name in ('encoder', 'planner') else {}
    graph.begin(**{name: models | parameters})
    node = CLASSES[name]()
    graph.start(node)
    ours = [item for item in node.list_parameters([], 0).names if not is_of_rclpy(item)]
    assert ours
    wrong = []
    for item in ours:
        descriptor = node.describe_parameter(item)
        kind = node.get_parameter(item).type_
        if not descriptor.description:
            wrong.append(f'{item}: no description')
        if item.endswith(QUANTITIES) and '[' not in descriptor.description:
            wrong.append(f'{item}: no unit')
        if kind in NUMBERS and not (descriptor.integer_range or descriptor.floating_point_range):
            wrong.append(f'{item}: no range')
    assert not wrong
