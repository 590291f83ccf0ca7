# SPDX-License-Identifier: Apache-2.0
"""Every quality-of-service profile of the nodes, one per kind of information.

Each endpoint is created with :data:`OVERRIDABLE`, so that a site changes reliability, history or
depth by parameters (``qos_overrides./vjepa/image.subscription.depth``), not in code.
"""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

OVERRIDABLE = QoSOverridingOptions.with_default_policies()


def _profile(
    reliability: ReliabilityPolicy, durability: DurabilityPolicy, depth: int
) -> QoSProfile:
    return QoSProfile(
        reliability=reliability,
        durability=durability,
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
    )


IMAGE = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 1)
"""For who takes images: the newest one only; matches every camera driver."""

CAMERA = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 1)
"""For who makes images: matches subscribers that ask for reliable ones too, such as recorders."""

ROBOT_STATE = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 5)
"""For who takes joint states and measured poses."""

ROBOT_STATE_SOURCE = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 5)
"""For who makes joint states and measured poses."""

GOAL = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1)
"""The goal in force, latched: also for nodes that start later."""

STATUS = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1)
"""What a node does, latched."""

ALL_STATUS = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 20)
"""For who listens to the status of all nodes: they share a topic, and none may crowd one out."""

RESULT = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 1)
"""Embeddings, plans and energies: the newest one only."""

COMMAND = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 1)
"""Targets for the robot: the newest one only, and none from before a controller started."""

CLOCK = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 1)
"""The time of the simulation."""
