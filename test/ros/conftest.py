# SPDX-License-Identifier: Apache-2.0
"""Real nodes on a real, private ROS graph, and an observer to talk to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vjepa_msgs', reason='make builds it')

from ros_graph import Graph, make_tiny_model


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    """Return a graph that is not begun yet."""
    graph = Graph(tmp_path)
    yield graph
    graph.close()


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model directory of random weights: everything but its predictions is real."""
    pytest.importorskip('torch')
    return make_tiny_model(tmp_path_factory.mktemp('models') / 'tiny')


@pytest.fixture
def camera_image() -> np.ndarray:
    """Return an image, uint8 RGB."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
