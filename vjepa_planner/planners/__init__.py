# SPDX-License-Identifier: Apache-2.0
"""Planners by name. A new one is one new file and one line in ``_PLANNERS``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.planners.base import (
    Planner,
    PlannerConfig,
    PlannerResult,
    PlanningError,
    Proposal,
)
from vjepa_planner.planners.cem import CEMConfig, CrossEntropyMethod
from vjepa_planner.planners.hold import HoldPlanner
from vjepa_planner.planners.random import RandomPlanner

__all__ = [
    'CEMConfig',
    'CrossEntropyMethod',
    'HoldPlanner',
    'Planner',
    'PlannerConfig',
    'PlannerResult',
    'PlanningError',
    'Proposal',
    'RandomPlanner',
    'available_planners',
    'make_planner',
    'make_recommended_planner',
    'planner_config_class',
]

_PLANNERS: dict[str, tuple[type[PlannerConfig], Any]] = {
    'cem': (CEMConfig, CrossEntropyMethod),
    'hold': (PlannerConfig, HoldPlanner),
    'random': (PlannerConfig, RandomPlanner),
}


def available_planners() -> tuple[str, ...]:
    """Return the names that :func:`make_planner` knows."""
    return tuple(_PLANNERS)


def planner_config_class(name: str) -> type[PlannerConfig]:
    """Return the dataclass of the settings of the planner ``name``.

    The metadata of its fields holds ``description`` and, where bounded, ``min`` and ``max``.

    Raises:
        UnknownNameError: There is no such planner.
    """
    if name not in _PLANNERS:
        raise UnknownNameError('planner', name, available_planners())
    return _PLANNERS[name][0]


def make_planner(name: str, **settings: object) -> Planner:
    """Return the planner ``name``.

    Args:
        name: One of :func:`available_planners`.
        settings: Fields of its configuration, see :func:`planner_config_class`.

    Raises:
        UnknownNameError: There is no such planner, or it has no such setting.
        InvalidInputError: A value has the wrong type or lies outside its range.
    """
    config_class = planner_config_class(name)
    known = _setting_names(config_class)
    for key in settings:
        if key not in known:
            raise UnknownNameError(f'setting of planner {name!r}:', key, known)
    planner: Planner = _PLANNERS[name][1](config_class(**settings))  # type: ignore[arg-type]
    return planner


def make_recommended_planner(
    recommended: Mapping[str, object], name: str | None = None, **overrides: object
) -> Planner:
    """Return the planner that a model recommends, or another one over the same actions.

    Args:
        recommended: ``name`` and settings, as ``WorldModel.config.planner`` has them.
        name: The planner to make; None takes the recommended one. Another planner takes over
            the recommended settings that it has too, such as the horizon and the limits.
        overrides: Settings that replace recommended ones.

    Raises:
        UnknownNameError: There is no such planner, or it has no such setting.
        InvalidInputError: A value has the wrong type or lies outside its range.
    """
    settings = dict(recommended)
    recommended_name = str(settings.pop('name', 'cem'))
    name = name or recommended_name
    if name != recommended_name:
        known = _setting_names(planner_config_class(name))
        settings = {key: value for key, value in settings.items() if key in known}
    return make_planner(name, **(settings | overrides))


def _setting_names(config_class: type[PlannerConfig]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(config_class))
