# SPDX-License-Identifier: Apache-2.0
"""The parameters of the demonstration's nodes."""

from __future__ import annotations

from vjepa_ros.child_nodes.nodes import Parameters, patient_parameters
from vjepa_ros.demo.config import DemoConfig


def make_parameters(config: DemoConfig) -> Parameters:
    """Return the parameters of each node that are not the defaults."""
    parameters = patient_parameters(config.model, config.backend, config.device, config.precision)
    parameters['simulator']['seed'] = parameters['planner']['planner.seed'] = config.seed
    parameters['commander']['autostart'] = True
    return parameters
