# SPDX-License-Identifier: Apache-2.0
"""One process, or several that ``torchrun`` started, each with a part of every batch.

Every process draws the same random numbers and knows the whole batch, but loads and computes its
own part only. Losses are means over samples and the parts are equal, so that the mean of the
gradients is the gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
import os

import torch
from torch import distributed, nn, Tensor
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from vjepa_planner.errors import InvalidInputError


@dataclass(frozen=True)
class Processes:
    """What this process is among those that train together.

    Attributes:
        rank: Number of this process; 0 saves and logs.
        count: How many there are.
        device: On which it computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device('cpu'))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that saves and logs."""
        return self.rank == 0

    def part(self, batch_size: int) -> slice:
        """Return which samples of a batch are this process's.

        Raises:
            InvalidInputError: The batch does not split into equal parts.
        """
        if batch_size % self.count:
            raise InvalidInputError(
                f'a batch of {batch_size} does not split evenly over {self.count} processes. '
                'The batch size counts the samples of all of them.'
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def synchronised(self, module: nn.Module) -> nn.Module:
        """Return a module whose backward pass averages gradients over the processes."""
        if self.count == 1:
            return module
        return DistributedDataParallel(module)

    def mean(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the mean of scalars over the processes."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self.count > 1:
            distributed.all_reduce(values)
            values /= self.count
        return dict(zip(terms, values.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is set in any process; all of them have to ask."""
        if self.count == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(value)
        return bool(value)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            distributed.barrier()


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes, with its gradient."""
    if not distributed.is_initialized():
        return value
    summed: Tensor = all_reduce(value)  # type: ignore[no-untyped-call]
    return summed / distributed.get_world_size()


@contextmanager
def started_processes(device: str = 'auto') -> Iterator[Processes]:
    """Join the other processes, if ``torchrun`` started some.

    Args:
        device: ``'auto'`` takes a GPU where there is one, and of several the one of this process.

    Yields:
        What this process is.

    Raises:
        InvalidInputError: There is no such device.
    """
    count = int(os.environ.get('WORLD_SIZE', '1'))
    chosen = _device(device)
    if count == 1:
        yield Processes(device=chosen)
        return
    if chosen.type == 'cuda':
        torch.cuda.set_device(chosen)
    distributed.init_process_group('nccl' if chosen.type == 'cuda' else 'gloo')
    try:
        yield Processes(distributed.get_rank(), count, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        if device.type == 'cuda' and device.index is None:
            device = torch.device('cuda', int(os.environ.get('LOCAL_RANK', '0')))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(
            f'device {name!r} is not available ({str(error).splitlines()[0]}). Use auto or cpu.'
        ) from error
    return device
