# SPDX-License-Identifier: Apache-2.0
"""Inference engines by name. A new one is one file and one line of ``_BACKENDS``."""

from __future__ import annotations

from importlib import import_module

from vjepa_planner.backends.base import Backend, PRECISIONS
from vjepa_planner.errors import MissingDependencyError, UnknownNameError

# Name -> module, class, pip extra. Imported on use: engines are large and optional.
_BACKENDS = {
    'torch': ('vjepa_planner.backends.torch_backend', 'TorchBackend', 'torch'),
}


def available_backends() -> tuple[str, ...]:
    """Return the names of all backends, installed or not."""
    return tuple(_BACKENDS)


def backend_class(name: str) -> type[Backend]:
    """Return a backend's class.

    Raises:
        UnknownNameError: There is no backend of this name.
        MissingDependencyError: Its engine is not installed.
    """
    if name not in _BACKENDS:
        raise UnknownNameError('backend', name, available_backends())
    module, attribute, extra = _BACKENDS[name]
    try:
        found: type[Backend] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('vjepa_planner'):
            raise
        raise MissingDependencyError(
            f'backend {name!r} needs the package {error.name!r}, which is not installed. '
            f"Install it with: pip install 'vjepa_ros[{extra}]'."
        ) from error
    return found


__all__ = ['PRECISIONS', 'Backend', 'available_backends', 'backend_class']
