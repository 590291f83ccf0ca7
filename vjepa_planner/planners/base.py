# SPDX-License-Identifier: Apache-2.0
"""What every planner is: a search for the action sequence of lowest energy.

A planner proposes action sequences and asks a function for their energies. It knows no model, no
robot, no device and no clock, so that it can be read, tested and replaced by itself.

The search space is the one of V-JEPA 2-AC: per time step ``dx dy dz`` [m] and the change of
gripper closedness. The three rotation components of an action are always zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
import math
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError, UnknownNameError, VjepaPlannerError
from vjepa_planner.types import ACTION_DIM

Array = npt.NDArray[np.float64]
Evaluate = Callable[[Array], npt.NDArray[np.floating]]
"""Maps candidate actions of shape (S, T, 7) to their energies, shape (S,)."""

SEARCH_AXES = ('x', 'y', 'z', 'gripper')
SEARCH_DIM = len(SEARCH_AXES)
GRIPPER = SEARCH_AXES.index('gripper')
TRANSLATION = (0, 1, 2)
"""Search axes, and columns of an action, along which the hand moves."""

_ACTION_COLUMNS = (*TRANSLATION, ACTION_DIM - 1)  # where the search axes stand in an action


class PlanningError(VjepaPlannerError):
    """The energies give a planner nothing to go by, for example because all of them are NaN."""


def setting(
    default: object,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:  # noqa: ANN401 - like dataclasses.field, so that the annotation of the field holds
    """Return a dataclass field that carries its description and its inclusive range.

    Validation, command line and ROS parameter descriptors all read the same metadata
    (``description``, and ``min`` and ``max`` where there is a bound).
    """
    metadata: dict[str, object] = {'description': description}
    metadata |= {} if minimum is None else {'min': minimum}
    metadata |= {} if maximum is None else {'max': maximum}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """Settings that every planner has: which action sequences it may propose.

    Attributes:
        horizon: Time steps of an action sequence.
        max_translation: Largest displacement along each axis in one step [m]. A box, not a ball:
            the longest displacement is sqrt(3) times this.
        max_gripper_delta: Largest change of gripper closedness in one step.
        clearance_height: Height of the hand above which it passes over everything, in the base
            frame [m]; 0 for none. See :mod:`vjepa_planner.approach`.
        alignment: Distance along x and y from the place within which the hand goes down to it [m].
        fixed_axes: Axes held at a value in every proposed action, for example ``{'z': 0.0}``;
            names are x, y, z [m] and gripper. Limits do not apply to these values.

    Raises:
        InvalidInputError: A value has the wrong type or lies outside its range.
        UnknownNameError: ``fixed_axes`` names an axis that does not exist.
    """

    horizon: int = setting(1, 'Steps that the planner looks ahead', minimum=1, maximum=64)
    max_translation: float = setting(
        0.075, 'Largest displacement per axis and step [m]', minimum=0.0, maximum=1.0
    )
    max_gripper_delta: float = setting(
        0.75, 'Largest change of gripper closedness per step', minimum=0.0, maximum=1.0
    )
    clearance_height: float = setting(
        0.0,
        'Height from which the hand goes down to a place from above; 0: anyhow [m]',
        minimum=0.0,
        maximum=2.0,
    )
    alignment: float = setting(
        0.012,
        'Distance along x and y from the place within which the hand goes down to it [m]',
        minimum=0.0,
        maximum=0.1,
    )
    fixed_axes: Mapping[str, float] = setting(
        dict, 'Values [m, m, m, closedness] at which the axes x, y, z, gripper are held'
    )

    def __post_init__(self) -> None:
        """Check every value against the type and the range of its field."""
        hints = get_type_hints(type(self))
        object.__setattr__(self, 'fixed_axes', _checked_axes(self.fixed_axes))
        for item in fields(self):
            if item.name == 'fixed_axes':
                continue
            value = _checked_value(item.name, getattr(self, item.name), hints[item.name])
            _check_range(item.name, value, item.metadata)
            object.__setattr__(self, item.name, value)

    @property
    def limits(self) -> Array:
        """Largest magnitude along each search axis, shape (4,)."""
        return np.array([self.max_translation] * 3 + [self.max_gripper_delta])


@dataclass(frozen=True)
class Proposal:
    """The distribution that candidates are drawn from: a normal, independent per step and axis.

    Attributes:
        mean: Shape (T, 4), axes ``dx dy dz`` [m] and change of closedness.
        std: Standard deviation, shape (T, 4).
    """

    mean: Array
    std: Array


@dataclass(frozen=True, kw_only=True)
class PlannerResult:
    """The outcome of one search.

    Attributes:
        actions: Planned actions, shape (T, 7).
        energy: Energy of ``actions`` themselves.
        evaluations: Number of action sequences whose energy was asked for.
        iteration_energies: Lowest energy among the candidates of each iteration.
    """

    actions: Array
    energy: float
    evaluations: int
    iteration_energies: tuple[float, ...]


class Planner(ABC):
    """Searches the action sequence of lowest energy. Keeps nothing from one search to the next."""

    config: PlannerConfig

    @abstractmethod
    def plan(self, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
        """Search one action sequence.

        Args:
            evaluate: Maps actions of shape (S, T, 7) to energies of shape (S,). Candidates whose
                energy is not finite count as worst.
            rng: The only source of randomness.

        Raises:
            PlanningError: ``evaluate`` gives no usable energies.
        """


def actions_from_search(candidates: Array) -> Array:
    """Return actions (..., 7) of search vectors (..., 4): zeros stand in for the rotation."""
    actions = np.zeros((*candidates.shape[:-1], ACTION_DIM))
    actions[..., _ACTION_COLUMNS] = candidates
    return actions


def checked_energies(evaluate: Evaluate, actions: Array) -> Array:
    """Return the energies of ``actions`` (S, T, 7), shape (S,); what is not finite becomes +inf.

    Raises:
        PlanningError: The energies have the wrong shape.
    """
    energies = np.asarray(evaluate(actions), dtype=np.float64)
    if energies.shape != actions.shape[:1]:
        raise PlanningError(
            f'{len(actions)} candidates must get energies of shape ({len(actions)},), '
            f'got {energies.shape}. Check the function that evaluates them.'
        )
    return np.where(np.isfinite(energies), energies, np.inf)


def final_energy(evaluate: Evaluate, actions: Array) -> float:
    """Return the energy of the one sequence ``actions`` (T, 7) that is to be the result.

    Raises:
        PlanningError: It is not finite.
    """
    energy = float(checked_energies(evaluate, actions[None])[0])
    if not math.isfinite(energy):
        raise PlanningError(
            f'the energy of the planned actions is not finite. Actions: {actions.tolist()}. '
            'Check the embeddings, the state and the weights for NaN or infinity.'
        )
    return energy


def _checked_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidInputError(f'{name} must be a finite number, got {value!r}.')
    return float(value)


def _checked_value(name: str, value: object, hint: object) -> float | None:
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    number = _checked_number(name, value)
    if float in kinds:
        return number
    if not isinstance(value, Integral):
        raise InvalidInputError(f'{name} must be a whole number, got {value!r}.')
    return int(value)


def _check_range(name: str, value: float | None, metadata: Mapping[Any, Any]) -> None:
    low, high = metadata.get('min', -math.inf), metadata.get('max', math.inf)
    if value is not None and not low <= value <= high:
        raise InvalidInputError(f'{name} must be between {low} and {high}, got {value}.')


def _checked_axes(fixed_axes: object) -> dict[str, float]:
    if not isinstance(fixed_axes, Mapping):
        raise InvalidInputError(
            f"fixed_axes must map axis names to values, like {{'z': 0.0}}, got {fixed_axes!r}."
        )
    for name in fixed_axes:
        if name not in SEARCH_AXES:
            raise UnknownNameError('axis in fixed_axes', str(name), SEARCH_AXES)
    return {
        name: _checked_number(f'fixed_axes[{name!r}]', value) for name, value in fixed_axes.items()
    }
