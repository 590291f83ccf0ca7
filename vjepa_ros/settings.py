# SPDX-License-Identifier: Apache-2.0
"""How the settings of a node are written down: a field with its description, unit and range."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def setting(
    default: object,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    read_only: bool = False,
) -> Any:  # noqa: ANN401 - like dataclasses.field, so that the annotation of the field holds
    """Return a field of a frozen dataclass that carries what a parameter descriptor needs.

    Args:
        default: Default of the field.
        description: One line, with the unit in brackets.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        read_only: Whether the value is fixed once the node runs.
    """
    metadata: dict[str, object] = {'description': description, 'read_only': read_only}
    metadata |= {} if minimum is None else {'min': minimum}
    metadata |= {} if maximum is None else {'max': maximum}
    return field(default=default, metadata=metadata)
