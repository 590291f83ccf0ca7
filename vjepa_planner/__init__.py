# SPDX-License-Identifier: Apache-2.0
"""Plan robot actions with V-JEPA 2: goal images in, actions out. Knows nothing about ROS.

The names below are imported on first use, so that ``import vjepa_planner`` stays cheap and works
without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vjepa_planner.backends import available_backends
    from vjepa_planner.errors import VjepaPlannerError
    from vjepa_planner.geometry import compose_states, state_difference
    from vjepa_planner.model_files import available_models
    from vjepa_planner.mpc import ModelPredictiveController
    from vjepa_planner.planners import (
        available_planners,
        make_planner,
        make_recommended_planner,
        Planner,
    )
    from vjepa_planner.types import Goal, Observation, Plan
    from vjepa_planner.world_model import load_world_model, WorldModel, WorldModelConfig

__all__ = [
    'Goal',
    'ModelPredictiveController',
    'Observation',
    'Plan',
    'Planner',
    'VjepaPlannerError',
    'WorldModel',
    'WorldModelConfig',
    'available_backends',
    'available_models',
    'available_planners',
    'compose_states',
    'load_world_model',
    'make_planner',
    'make_recommended_planner',
    'state_difference',
]

_MODULES = {
    'Goal': 'types',
    'ModelPredictiveController': 'mpc',
    'Observation': 'types',
    'Plan': 'types',
    'Planner': 'planners',
    'VjepaPlannerError': 'errors',
    'WorldModel': 'world_model',
    'WorldModelConfig': 'world_model',
    'available_backends': 'backends',
    'available_models': 'model_files',
    'available_planners': 'planners',
    'compose_states': 'geometry',
    'load_world_model': 'world_model',
    'make_planner': 'planners',
    'make_recommended_planner': 'planners',
    'state_difference': 'geometry',
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value: object = getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
