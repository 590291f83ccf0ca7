# SPDX-License-Identifier: Apache-2.0
"""The header of a safetensors file, which says where each tensor is, read without torch.

Eight bytes of length, then JSON (https://github.com/huggingface/safetensors#format). All who read
such files read the header here, so that what one of them refuses, no other takes for good.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypedDict

from vjepa_planner.errors import CheckpointError

_LENGTH_BYTES = 8
_MOST_BYTES = 100_000_000  # of a header, as in the reference implementation
_BITS = {
    'BOOL': 8, 'U8': 8, 'I8': 8, 'F8_E4M3': 8, 'F8_E5M2': 8, 'F8_E8M0': 8, 'U16': 16, 'I16': 16,
    'F16': 16, 'BF16': 16, 'U32': 32, 'I32': 32, 'F32': 32, 'U64': 64, 'I64': 64, 'F64': 64,
    'C64': 64,
}  # fmt: skip


class HeaderEntry(TypedDict):
    """One tensor.

    Attributes:
        dtype: Number format, such as ``'F32'``.
        shape: Of the tensor.
        data_offsets: First byte and the one after the last, counted from the end of the header.
    """

    dtype: str
    shape: list[int]
    data_offsets: list[int]


def read_safetensors_header(path: Path) -> tuple[dict[str, HeaderEntry], int]:
    """Return the tensors of a safetensors file by name, and where their data begin [byte].

    Raises:
        CheckpointError: There is no such file, or it is cut, damaged or another kind of file.
    """
    if not path.is_file():
        raise CheckpointError(f'{path.parent} has no {path.name}.')
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
            start = _LENGTH_BYTES + length
            if not 2 <= length <= min(_MOST_BYTES, size - _LENGTH_BYTES):
                raise ValueError('it is none, or cut within its header')
            header = json.loads(file.read(length), object_pairs_hook=_without_repetition)
        header.pop('__metadata__', None)
        end = start + _end_of_tensors(header)
        if end != size:
            raise ValueError(f'it has {size} bytes where its header describes {end}')
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{path} cannot be read as a safetensors file: {_reason(error)}. Download or copy it '
            'again.'
        ) from error
    return header, start


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError('a name appears twice in its header')
    return entries


def _end_of_tensors(header: dict[str, HeaderEntry]) -> int:
    """Return where the data end; they must follow each other without gaps [byte]."""
    end = 0
    for entry in sorted(header.values(), key=lambda entry: tuple(entry['data_offsets'])):
        (first, last), shape = entry['data_offsets'], entry['shape']
        if not all(type(number) is int and number >= 0 for number in (first, last, *shape)):
            raise ValueError(f'the header has the entry {entry}')
        if first != end or (last - first) * 8 != math.prod(shape) * _BITS[entry['dtype']]:
            raise ValueError(f'the tensor at byte {first} of its data does not fit')
        end = last
    return end


def _reason(error: Exception) -> str:
    own = type(error) is ValueError or isinstance(error, OSError)
    return str(error) if own else f'its header makes no sense ({error!r})'
