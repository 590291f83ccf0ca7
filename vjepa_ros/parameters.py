# SPDX-License-Identifier: Apache-2.0
"""ROS parameters out of frozen dataclasses, and back.

The default of a parameter is the default of the dataclass, its description, unit and range are the
metadata of the field (``description``, ``min``, ``max``, ``read_only``; see
:mod:`vjepa_ros.settings`), and what a dataclass
refuses, the parameter refuses too, with the same words. So each is written down once.

A field that is ``read_only`` can be set as long as a managed node is not configured, and is fixed
then; in any other node it is fixed from the start.

What ROS cannot express is spelled: None as -1 for an integer, a mapping as strings ``name=value``,
a set as strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
import sys
from types import NoneType
from typing import Any, Generic, get_args, get_origin, get_type_hints, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_ros.lifecycle import ManagedNode

Config = TypeVar('Config')

_NONE_AS_INTEGER = -1
_INT64_MAX = 2**63 - 1


class ConfigParameters(Generic[Config]):
    """The parameters of a node that stand for one dataclass, and their present values.

    Attributes:
        value: The dataclass as the parameters have it now. Replaced as a whole when one changes.
    """

    def __init__(
        self,
        node: Node,
        default: Config,
        prefix: str = '',
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Declare one parameter per field of ``default``; in ``configure``, until cleanup.

        Args:
            node: Whose parameters they are.
            default: Frozen dataclass; its values are the defaults.
            prefix: What parameter names start with, for example ``'planner.'``.
            on_change: Called after a change of any of them, but not of a node that has yet to be
                configured.

        Raises:
            InvalidInputError: The values given at the start do not go together.
        """
        self._node = node
        self._managed = node if isinstance(node, ManagedNode) else None
        self._prefix = prefix
        self._on_change = on_change
        self._hints = get_type_hints(type(default))
        items = fields(default)  # type: ignore[arg-type]
        self._fixed = {prefix + item.name for item in items if item.metadata.get('read_only')}
        names = [prefix + item.name for item in items]
        temporary = self._managed is not None and self._managed.is_configuring
        if temporary:
            self._managed.on_cleanup_call(self._undeclare, names)
        for item in items:
            node.declare_parameter(
                prefix + item.name,
                _to_ros(getattr(default, item.name)),
                _descriptor(item.metadata, self._hints[item.name], self._managed is not None),
            )
        self.value = self._updated(default, node.get_parameters(names))
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)
        if temporary:
            self._managed.on_cleanup_call(node.remove_on_set_parameters_callback, self._check)
            self._managed.on_cleanup_call(node.remove_post_set_parameters_callback, self._apply)

    def _undeclare(self, names: Sequence[str]) -> None:
        """Take back what was declared, which may be a part of the names only."""
        for name in names:
            if self._node.has_parameter(name):
                self._node.undeclare_parameter(name)

    def _mine(self, parameters: Sequence[Parameter]) -> list[Parameter]:
        known = {self._prefix + name for name in self._hints}
        return [parameter for parameter in parameters if parameter.name in known]

    def _updated(self, config: Config, parameters: Sequence[Parameter]) -> Config:
        changes = {}
        for parameter in parameters:
            name = parameter.name.removeprefix(self._prefix)
            changes[name] = _from_ros(parameter.value, self._hints[name], parameter.name)
        return replace(config, **changes)  # type: ignore[type-var]

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        fixed = sorted(self._fixed & {parameter.name for parameter in parameters})
        if fixed and self._managed is not None and self._managed.is_configured:
            name = self._managed.get_fully_qualified_name()
            return SetParametersResult(
                successful=False,
                reason=f'{", ".join(fixed)} is fixed while the node is configured. Clean it up '
                f'first: ros2 lifecycle set {name} deactivate, then cleanup.',
            )
        try:
            self._updated(self.value, self._mine(parameters))
        except VjepaPlannerError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: Sequence[Parameter]) -> None:
        mine = self._mine(parameters)
        if not mine:
            return
        self.value = self._updated(self.value, mine)
        if self._on_change is not None and (self._managed is None or self._managed.is_configured):
            self._on_change()


def parameter_values(config: object, prefix: str = '') -> dict[str, Any]:
    """Return the parameters that stand for a dataclass, as a parameter file holds them.

    Args:
        config: The dataclass.
        prefix: What parameter names start with.
    """
    hints = get_type_hints(type(config))
    values = {item.name: getattr(config, item.name) for item in fields(config)}  # type: ignore[arg-type]
    return {
        # ROS tells 1 from 1.0.
        prefix + name: float(value) if hints[name] is float else _to_ros(value)
        for name, value in values.items()
    }


def _descriptor(
    metadata: Mapping[str, Any],
    hint: Any,  # noqa: ANN401
    managed: bool,
) -> ParameterDescriptor:
    """Return the descriptor of a field with this metadata and type, of a managed node or not."""
    fixed = metadata.get('read_only', False)
    descriptor = ParameterDescriptor(
        description=metadata.get('description', ''), read_only=fixed and not managed
    )
    if fixed and managed:  # rclpy would never let it be set again
        descriptor.additional_constraints = 'fixed while the node is configured'
    low, high = metadata.get('min'), metadata.get('max')
    if low is None and high is None:
        return descriptor
    kinds = {hint, get_origin(hint), *get_args(hint)}
    if int in kinds:
        low = -_INT64_MAX if low is None else int(low)
        if NoneType in kinds:
            low = min(low, _NONE_AS_INTEGER)
            descriptor.description += f' ({_NONE_AS_INTEGER}: none)'
        high = _INT64_MAX if high is None else int(high)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    elif float in kinds and tuple not in kinds:
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-sys.float_info.max if low is None else float(low),
                to_value=sys.float_info.max if high is None else float(high),
            )
        ]
    return descriptor


def _to_ros(value: object) -> Any:  # noqa: ANN401 - whatever a parameter can hold
    if value is None:
        return _NONE_AS_INTEGER
    if isinstance(value, Mapping):
        return [f'{name}={number}' for name, number in value.items()] or ['']
    if isinstance(value, frozenset):
        return sorted(value) or ['']
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any, hint: Any, name: str) -> object:  # noqa: ANN401
    kinds = {hint, get_origin(hint), *get_args(hint)}
    if NoneType in kinds and value == _NONE_AS_INTEGER:
        return None
    if get_origin(hint) is frozenset:
        return frozenset(item for item in value if item)
    if get_origin(hint) is tuple:
        return tuple(value)
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping):
        return dict(_pair(item, name) for item in value if item)
    return value


def _pair(text: str, name: str) -> tuple[str, float]:
    """Return name and value of ``'name=value'``."""
    key, _, number = text.partition('=')
    try:
        return key.strip(), float(number)
    except ValueError:
        raise InvalidInputError(f"{name} must hold strings like 'z=0.0', got {text!r}.") from None
