# SPDX-License-Identifier: Apache-2.0
"""Tensors that lie in a file and are read one by one, when they are asked for.

The official file of V-JEPA 2-AC has 12 GB, of which 5 are weights and the rest is the state of an
optimiser. Whoever lists the tensors of a file reads none of them, and reading one takes no more
memory than that tensor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import zlib

import torch
from torch import Tensor

from vjepa_planner.errors import CheckpointError

_CHUNK_BYTES = 2**22  # still in the cache when its checksum is taken


class StoredTensor(ABC):
    """A tensor of known shape and dtype whose numbers were not read yet.

    Attributes:
        path: The file that it is in.
        meta: Shape and dtype, on torch's meta device.
    """

    path: Path
    meta: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor."""
        return self.meta.shape

    @property
    def dtype(self) -> torch.dtype:
        """Number format in the file."""
        return self.meta.dtype

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return self.meta.nbytes

    @abstractmethod
    def read(self) -> Tensor:
        """Return the numbers, in memory of their own.

        Raises:
            CheckpointError: They cannot be read, or their checksum is wrong.
        """


@dataclass(frozen=True)
class FileTensor(StoredTensor):
    """A tensor in a file.

    Attributes:
        name: In the file, for error messages.
        path: The file.
        offset: Of its storage in the file [bytes].
        storage_bytes: Size of its storage, of which it may be a part only.
        crc32: Checksum of its storage, 0 where there is none.
    """

    name: str
    path: Path
    meta: Tensor
    offset: int
    storage_bytes: int
    crc32: int = 0

    def read(self) -> Tensor:
        """Return the numbers; see :class:`StoredTensor`."""
        buffer = torch.empty(self.storage_bytes, dtype=torch.uint8)
        if self._fill(buffer) != self.crc32:
            raise CheckpointError(
                f'{self.path} is damaged: the checksum of {self.name} is wrong. Download or copy '
                'the file again.'
            )
        whole = buffer.view(self.dtype)
        if self.meta.is_contiguous() and self.meta.numel() == whole.numel():
            return whole.view(self.shape)
        part = whole.as_strided(self.shape, self.meta.stride(), self.meta.storage_offset())
        return part.clone(memory_format=torch.contiguous_format)

    def _fill(self, buffer: Tensor) -> int:
        """Read into ``buffer`` and return the checksum of what was read, 0 if none is needed."""
        checksum = 0
        target = buffer.numpy().data
        with self.path.open('rb', buffering=0) as file:
            file.seek(self.offset)
            for start in range(0, self.storage_bytes, _CHUNK_BYTES):
                chunk = target[start : start + _CHUNK_BYTES]
                if file.readinto(chunk) != len(chunk):
                    raise CheckpointError(f'{self.path} ends in the middle of {self.name}.')
                if self.crc32:
                    checksum = zlib.crc32(chunk, checksum)
        return checksum


class Concatenated(StoredTensor):
    """Several stored tensors, one below the other."""

    def __init__(self, parts: Sequence[StoredTensor]) -> None:
        """Take the parts, which must agree in everything but their first dimension."""
        self._parts = parts
        self.path = parts[0].path
        self.meta = torch.cat([part.meta for part in parts])

    def read(self) -> Tensor:
        """Return the numbers; see :class:`StoredTensor`."""
        return torch.cat([part.read() for part in self._parts])


class Row(StoredTensor):
    """One entry along the first dimension of a stored tensor."""

    def __init__(self, whole: StoredTensor, index: int) -> None:
        """Take row ``index`` of ``whole``."""
        self._whole, self._index = whole, index
        self.path = whole.path
        self.meta = whole.meta[index]

    def read(self) -> Tensor:
        """Return the numbers; see :class:`StoredTensor`."""
        return self._whole.read()[self._index].clone()
