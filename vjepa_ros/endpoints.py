# SPDX-License-Identifier: Apache-2.0
"""The endpoints that a node has made, and their end."""

from __future__ import annotations

from typing import Any

from rclpy.action import ActionClient, ActionServer
from rclpy.client import Client
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer


def endpoints(node: Node) -> list[Any]:
    """Return timers, publishers, subscriptions, clients and servers in the order of their kinds.

    Actions come last: their own services are no entries of the node.
    """
    actions = (one for one in node.waitables if isinstance(one, ActionClient | ActionServer))
    return [
        *node.timers,
        *node.subscriptions,
        *node.publishers,
        *node.services,
        *node.clients,
        *actions,
    ]


def destroy_endpoint(node: Node, endpoint: object) -> None:
    """Destroy one of the endpoints of a node."""
    match endpoint:
        case Timer():
            node.destroy_timer(endpoint)
        case Subscription():
            node.destroy_subscription(endpoint)
        case Publisher():
            node.destroy_publisher(endpoint)
        case Service():
            node.destroy_service(endpoint)
        case Client():
            node.destroy_client(endpoint)
        case ActionClient() | ActionServer():
            endpoint.destroy()
