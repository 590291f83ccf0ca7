# SPDX-License-Identifier: Apache-2.0
"""RViz and Foxglove are told to show what our nodes publish, with the types that they expect."""

from __future__ import annotations

import json
from pathlib import Path
import re

import pytest

yaml = pytest.importorskip('yaml')
pytest.importorskip('mujoco')
pytest.importorskip('torch')

from vjepa_planner.robots import fr3  # noqa: E402
from vjepa_ros.commander_node import CommanderNode  # noqa: E402
from vjepa_ros.encoder_node import EncoderNode  # noqa: E402
from vjepa_ros.goal_node import GoalNode  # noqa: E402
from vjepa_ros.planner_node import PlannerNode  # noqa: E402
from vjepa_ros.simulator_node import SimulatorNode  # noqa: E402

CONFIG = Path(__file__).resolve().parents[2] / 'config'
RVIZ = CONFIG / 'rviz' / 'vjepa.rviz'
FOXGLOVE = json.loads((CONFIG / 'foxglove' / 'vjepa.json').read_text())
TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/Pose': 'geometry_msgs/msg/PoseStamped',
    'rviz_default_plugins/PoseArray': 'geometry_msgs/msg/PoseArray',
}
NAMESPACE = '/vjepa'


@pytest.fixture
def nodes(graph, tiny_model):
    """Return running nodes of ours."""
    model = {'model': str(tiny_model)}
    graph.begin(encoder=model, planner=model, commander={}, goal={}, simulator={'image_size': 32})
    made = [CommanderNode(), SimulatorNode(), GoalNode(), EncoderNode(), PlannerNode()]
    for node in made:
        graph.start(node)
    return made


def published(nodes) -> dict[str, dict[str, type]]:
    """Return the types of what is published, by topic and by the name of the type."""
    result: dict[str, dict[str, type]] = {}
    for node in nodes:
        for publisher in node.publishers:
            kind = publisher.msg_type
            name = f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}'
            result.setdefault(publisher.topic_name, {})[name] = kind
    return result


def test_rviz_shows_topics_that_are_published(nodes):
    manager = yaml.safe_load(RVIZ.read_text())['Visualization Manager']
    topics = published(nodes)
    shown = [display for display in manager['Displays'] if 'Topic' in display]
    assert shown
    for display in shown:
        assert TYPES[display['Class']] in topics[display['Topic']['Value']], display['Name']
    assert manager['Global Options']['Fixed Frame'] == fr3.BASE_FRAME


def panels(kind: str) -> dict[str, dict]:
    """Return the panels of a kind in the layout of Foxglove."""
    return {
        name: panel
        for name, panel in FOXGLOVE['configById'].items()
        if name.partition('!')[0] == kind
    }


def test_foxglove_shows_pictures_and_poses_that_are_published(nodes):
    topics = published(nodes)
    images = {panel['imageMode']['imageTopic'] for panel in panels('Image').values()}
    assert images == {f'{NAMESPACE}/image', f'{NAMESPACE}/goal_image'}
    for topic in images:
        assert 'sensor_msgs/msg/Image' in topics[topic]
    (scene,) = panels('3D').values()
    assert scene['followTf'] == fr3.BASE_FRAME
    assert set(scene['topics']) == {
        f'{NAMESPACE}/{name}' for name in ('current_pose', 'target_pose', 'predicted_path')
    }
    for topic in scene['topics']:
        assert {'geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/PoseArray'} & set(
            topics[topic]
        )
    (summary,) = panels('DiagnosticSummary').values()
    assert summary['topicToRender'] in topics


def test_foxglove_plots_fields_that_the_messages_have(nodes):
    topics = published(nodes)
    paths = [
        path['value']
        for kind in ('Plot', 'StateTransitions')
        for panel in panels(kind).values()
        for path in panel['paths']
    ] + [panel['topicPath'] for panel in panels('RawMessages').values()]
    assert len(paths) == 7
    for path in paths:
        topic, key, value, field = re.fullmatch(
            r'(/[\w/]+)(?:\{(\w+)=="(\w+)"\})?(?:\.(\w+))?', path
        ).groups()
        (message,) = topics[topic].values()
        known = message.get_fields_and_field_types()
        assert field is None or field in known, path
        assert key is None or key in known, path
        assert value is None or value in {node.get_name() for node in nodes}, path


def test_the_buttons_of_foxglove_call_services_that_exist(nodes):
    offered = {service.srv_name for node in nodes for service in node.services}
    called = {panel['serviceName'] for panel in panels('CallService').values()}
    assert {f'{NAMESPACE}/e_stop', f'{NAMESPACE}/start'} <= called
    assert called <= {name if name.startswith('/') else f'{NAMESPACE}/{name}' for name in offered}


def test_every_panel_of_foxglove_has_its_place():
    def leaves(place) -> list[str]:
        if isinstance(place, str):
            return [place]
        return leaves(place['first']) + leaves(place['second'])

    placed = leaves(FOXGLOVE['layout'])
    assert sorted(placed) == sorted(FOXGLOVE['configById'])
