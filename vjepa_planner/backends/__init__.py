# SPDX-License-Identifier: Apache-2.0
"""Inference engines by name. A new one is one file and one line of ``_BACKENDS``."""

from __future__ import annotations

from importlib import import_module

from vjepa_planner.backends.base import Backend, PRECISIONS
from vjepa_planner.errors import requires_extra, UnknownNameError

# Name -> module, class, pip extra. Imported on use: engines are large and optional.
_BACKENDS = {
    'torch': ('vjepa_planner.backends.torch_backend', 'TorchBackend', 'torch'),
    'torch-compile': (
        'vjepa_planner.backends.torch_compile_backend',
        'TorchCompileBackend',
        'torch',
    ),
    'onnxruntime': (
        'vjepa_planner.backends.onnxruntime_backend',
        'OnnxRuntimeBackend',
        'onnxruntime',
    ),
    'tensorrt': ('vjepa_planner.backends.tensorrt_backend', 'TensorRTBackend', 'tensorrt'),
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
    with requires_extra(f'backend {name!r}', extra):
        found: type[Backend] = getattr(import_module(module), attribute)
    return found


__all__ = ['PRECISIONS', 'Backend', 'available_backends', 'backend_class']
