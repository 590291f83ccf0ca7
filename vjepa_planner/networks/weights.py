# SPDX-License-Identifier: Apache-2.0
"""Weights from files into networks: every one of them, nothing else, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn, Tensor
from tqdm import tqdm

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.blocks import matrix_parameters
from vjepa_planner.networks.config import ConfigT
from vjepa_planner.networks.stored_tensors import StoredTensor

ModuleT = TypeVar('ModuleT', bound=nn.Module)

_FORMATS = (torch.float32, torch.float16, torch.bfloat16)
_MAX_NAMES_LISTED = 8


def build_without_weights(network: Callable[[ConfigT], ModuleT], config: ConfigT) -> ModuleT:
    """Make a module whose parameters have shapes but no memory yet."""
    with torch.device('meta'):
        return network(config)


def check_fit(module: nn.Module, tensors: Mapping[str, StoredTensor], what: str) -> None:
    """Compare names, shapes and number formats without reading the numbers.

    Args:
        module: May be on the meta device.
        tensors: By plain name.
        what: What to call the module in the error.

    Raises:
        CheckpointError: They differ; the message lists what is missing, unexpected, of another
            shape and of another number format.
    """
    expected = module.state_dict()
    common = [name for name in expected if name in tensors]
    problems = [
        _listing('missing from the file', [n for n in expected if n not in tensors]),
        _listing('not part of the network', [n for n in tensors if n not in expected]),
        _listing(
            'of another shape',
            [
                f'{n}: file {tuple(tensors[n].shape)}, network {tuple(expected[n].shape)}'
                for n in common
                if tensors[n].shape != expected[n].shape
            ],
        ),
        _listing(
            'not of float32, float16 or bfloat16',
            [
                f'{n}: {str(tensors[n].dtype).removeprefix("torch.")}'
                for n in common
                if tensors[n].dtype not in _FORMATS
            ],
        ),
    ]
    if any(problems):
        raise CheckpointError(
            f'the weights do not fit the {what}:\n'
            + '\n'.join(p for p in problems if p)
            + '\nThe sizes come from config.json beside the file or, without it, from the shapes '
            'of the tensors.'
        )


def fill(module: nn.Module, tensors: Mapping[str, StoredTensor], dtype: torch.dtype) -> None:
    """Read tensors into a module on the meta device, after :func:`check_fit`.

    One tensor at a time goes from the file into its final number format, so that no second copy
    of the weights is ever in memory.

    Args:
        module: Its parameters are replaced; left in evaluation mode.
        tensors: By plain name.
        dtype: Of the matrices, which are nearly all of it; the rest is of float32.

    Raises:
        CheckpointError: Numbers cannot be read, are damaged, or are not finite.
    """
    matrices = matrix_parameters(module)
    total = sum(tensor.num_bytes for tensor in tensors.values())
    what = type(module).__name__
    weights = {}
    # Seen on a terminal only, and only where it takes long.
    with tqdm(total=total, unit='B', unit_scale=True, desc=what, disable=None, delay=1) as bar:
        for name, tensor in tensors.items():
            weights[name] = _finite(name, tensor, dtype if name in matrices else torch.float32)
            bar.update(tensor.num_bytes)
    module.load_state_dict(weights, assign=True)
    module.eval()


def _finite(name: str, stored: StoredTensor, dtype: torch.dtype) -> Tensor:
    tensor = stored.read()
    converted = tensor.to(dtype)
    if not _is_finite(converted):
        reason = (
            f'is too large for {dtype}; load it as torch.bfloat16 or torch.float32'
            if _is_finite(tensor)
            else 'contains NaN or infinity: the training that wrote it has failed'
        )
        raise CheckpointError(f'{stored.path}: the weight {name} {reason}.')
    return converted


def _is_finite(tensor: Tensor) -> bool:
    # One pass without a temporary; minimum and maximum of numbers with a NaN are NaN.
    return tensor.numel() == 0 or all(bound.isfinite() for bound in torch.aminmax(tensor))


def _listing(title: str, names: list[str]) -> str:
    if not names:
        return ''
    more = len(names) - _MAX_NAMES_LISTED
    lines = names[:_MAX_NAMES_LISTED] + ([f'... and {more} more'] if more > 0 else [])
    return f'  {len(names)} {title}:\n' + '\n'.join(f'    {line}' for line in lines)
