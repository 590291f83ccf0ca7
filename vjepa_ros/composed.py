# SPDX-License-Identifier: Apache-2.0
"""Encoder, goal, planner and commander in one process, with one copy of the model's weights."""

from __future__ import annotations

from collections.abc import Sequence

from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode
from vjepa_ros.lifecycle import ManagedNode
from vjepa_ros.planner_node import PlannerNode
from vjepa_ros.spin import run


def make_nodes() -> Sequence[ManagedNode]:
    """Return the four nodes, commander first; the encoder's parameters choose the model."""
    encoder = EncoderNode()
    return [CommanderNode(), PlannerNode(encoder.model), GoalNode(), encoder]


def main() -> int:
    """Run the nodes as one process."""
    return run(make_nodes)
