# SPDX-License-Identifier: Apache-2.0
"""What all nodes have in common."""

from __future__ import annotations

from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from vjepa_ros import qos
from vjepa_ros.node import VjepaNode


def test_quality_of_service_overridden_for_one_endpoint_stays_as_it_is_for_others(graph) -> None:
    graph.begin(
        one={
            'qos_overrides./vjepa/image.subscription.reliability': 'reliable',
            'qos_overrides./vjepa/image.publisher.reliability': 'best_effort',
        }
    )
    options = {'qos_overriding_options': qos.OVERRIDABLE}
    nodes = VjepaNode('one'), VjepaNode('other')
    subscriptions = [
        node.create_subscription(Image, 'image', lambda _: None, qos.IMAGE, **options)
        for node in nodes
    ]
    publishers = [node.create_publisher(Image, 'image', qos.CAMERA, **options) for node in nodes]
    reliable, best_effort = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
    assert [one.qos_profile.reliability for one in subscriptions] == [reliable, best_effort]
    assert [one.qos_profile.reliability for one in publishers] == [best_effort, reliable]
    for node in nodes:
        node.destroy_node()
