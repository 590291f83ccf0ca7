# SPDX-License-Identifier: Apache-2.0
"""The RViz configuration shows topics that our nodes publish, with the types that it expects."""

from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip('yaml')
pytest.importorskip('mujoco')

from vjepa_planner.robots import fr3  # noqa: E402
from vjepa_ros.commander_node import CommanderNode  # noqa: E402
from vjepa_ros.simulator_node import SimulatorNode  # noqa: E402

RVIZ = Path(__file__).resolve().parents[2] / 'config' / 'rviz' / 'vjepa.rviz'
TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/Pose': 'geometry_msgs/msg/PoseStamped',
}


def test_rviz_shows_topics_that_are_published(graph):
    manager = yaml.safe_load(RVIZ.read_text())['Visualization Manager']
    graph.begin(commander={}, simulator={})
    published: dict[str, list[str]] = {}
    for node in (CommanderNode(), SimulatorNode()):
        graph.start(node)
        for publishers in node.publishers:
            name = publishers.topic_name.removeprefix(node.get_namespace().rstrip('/'))
            kind = publishers.msg_type
            package = kind.__module__.partition('.')[0]
            published.setdefault(name, []).append(f'{package}/msg/{kind.__name__}')
    shown = [display for display in manager['Displays'] if 'Topic' in display]
    assert shown
    for display in shown:
        topic = display['Topic']['Value'].removeprefix('/vjepa')
        assert TYPES[display['Class']] in published[topic], display['Name']
    assert manager['Global Options']['Fixed Frame'] == fr3.BASE_FRAME
