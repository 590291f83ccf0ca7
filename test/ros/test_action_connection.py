# SPDX-License-Identifier: Apache-2.0
"""A client that DDS does not match is made again; one that is matched, or alone, is kept."""

from __future__ import annotations

import pytest
from rclpy.action import ActionServer

from vjepa_ros.action_connection import ActionConnection
from vjepa_ros.node import VjepaNode

actions = pytest.importorskip('franka_msgs.action')


@pytest.fixture
def connection(graph, request):
    graph.begin()
    node = VjepaNode('client')
    graph.start(node)
    # The graph remembers servers of the test before for a moment: another name for each test.
    graph.action = f'{request.node.name}/move'
    return ActionConnection(node, actions.Move, graph.action)


def serve(graph) -> None:
    node = VjepaNode('server')
    ActionServer(node, actions.Move, graph.action, lambda _handle: actions.Move.Result())
    graph.start(node)


def test_a_client_that_is_matched_stays(graph, connection) -> None:
    serve(graph)
    client = connection.client
    graph.wait_until(lambda: connection.is_ready, 'server')
    for now in (10.0, 20.0, 30.0):
        connection.refresh(now)
    assert connection.client is client


def test_a_client_without_a_server_stays(connection) -> None:
    client = connection.client
    for now in (10.0, 20.0, 30.0):
        connection.refresh(now)
    assert connection.client is client
    assert not connection.is_ready


def test_a_client_that_stays_unmatched_is_made_again(graph, connection) -> None:
    serve(graph)
    deaf = connection.client
    graph.wait_until(lambda: connection.is_ready, 'server')
    deaf.server_is_ready = lambda: False  # as rmw_fastrtps leaves one now and then
    connection.refresh(10.0)
    connection.refresh(12.9)
    assert connection.client is deaf
    connection.refresh(13.1)
    assert connection.client is not deaf
    graph.wait_until(lambda: connection.is_ready, 'server')


def test_a_server_out_of_sight_for_a_moment_is_not_lost(graph, connection) -> None:
    serve(graph)
    graph.wait_until(lambda: connection.is_ready, 'server')
    seen = connection.client.server_is_ready
    connection.refresh(10.0)
    connection.client.server_is_ready = lambda: False
    connection.refresh(10.5)
    assert not connection.is_lost(11.0)
    assert connection.is_lost(11.6)
    connection.client.server_is_ready = seen
    connection.refresh(12.0)
    assert not connection.is_lost(14.0)
