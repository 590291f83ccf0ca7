# SPDX-License-Identifier: Apache-2.0
"""The embedded simulator: MuJoCo, a Franka made of primitive shapes, a camera without OpenGL."""

from vjepa_planner.simulation.camera import AVAILABLE_RENDERERS, CAMERA_FRAME, CameraPose
from vjepa_planner.simulation.franka import (
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)
from vjepa_planner.simulation.objects import GRASPABLE, PLATE, REST_HEIGHT, TableObjects
from vjepa_planner.simulation.servos import CONTROL_PERIOD
from vjepa_planner.simulation.variation import VARIATIONS

__all__ = [
    'AVAILABLE_RENDERERS',
    'CAMERA_FRAME',
    'CONTROL_PERIOD',
    'GRASPABLE',
    'PLATE',
    'REST_HEIGHT',
    'VARIATIONS',
    'WORKSPACE_MAX',
    'WORKSPACE_MIN',
    'CameraPose',
    'FrankaSimulation',
    'SimulationConfig',
    'TableObjects',
]
