# SPDX-License-Identifier: Apache-2.0
"""Inference engines by name. A new one is one file and one entry of ``_BACKENDS``."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from vjepa_planner.backends.base import Backend, PRECISIONS
from vjepa_planner.errors import requires_extra, UnknownNameError


class _Entry(NamedTuple):
    """Where a backend is. Imported on use: engines are large and optional."""

    module: str
    attribute: str
    extra: str
    package: str


_BACKENDS = {
    'torch': _Entry('torch_backend', 'TorchBackend', 'torch', 'torch'),
    'torch-compile': _Entry('torch_compile_backend', 'TorchCompileBackend', 'torch', 'torch'),
    'onnxruntime': _Entry(
        'onnxruntime_backend', 'OnnxRuntimeBackend', 'onnxruntime', 'onnxruntime'
    ),
    'tensorrt': _Entry('tensorrt_backend', 'TensorRTBackend', 'tensorrt', 'tensorrt'),
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
    entry = _entry(name)
    with requires_extra(f'backend {name!r}', entry.extra):
        module = import_module(f'{__name__}.{entry.module}')
    found: type[Backend] = getattr(module, entry.attribute)
    return found


def engine_package(name: str) -> str:
    """Return the Python package that a backend cannot do without.

    Raises:
        UnknownNameError: There is no backend of this name.
    """
    return _entry(name).package


def _entry(name: str) -> _Entry:
    if name not in _BACKENDS:
        raise UnknownNameError('backend', name, available_backends())
    return _BACKENDS[name]


__all__ = ['PRECISIONS', 'Backend', 'available_backends', 'backend_class', 'engine_package']
