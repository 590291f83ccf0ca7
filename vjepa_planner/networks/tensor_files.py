# SPDX-License-Identifier: Apache-2.0
"""The two kinds of files that tensors come in: PyTorch's and safetensors.

Nothing of a PyTorch file is executed: only plain tensors and containers are unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import pickle
from typing import Any, BinaryIO
import zipfile

import safetensors
import torch
from torch import Tensor
from torch.types import Storage

from vjepa_planner.errors import CheckpointError
from vjepa_planner.networks.stored_tensors import FileTensor, StoredTensor

_ZIP_MAGIC = b'PK\x03\x04'
_LOCAL_HEADER_BYTES = 30
_SAFETENSORS_DTYPES = {
    'F64': torch.float64,
    'F32': torch.float32,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
    'C64': torch.complex64,
    'I64': torch.int64,
    'I32': torch.int32,
    'I16': torch.int16,
    'I8': torch.int8,
    'U8': torch.uint8,
    'BOOL': torch.bool,
}


def open_pytorch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a ``.pt`` file, with the tensors in it still in the file.

    Args:
        path: Written by ``torch.save`` of PyTorch 1.6 or later.

    Returns:
        Its entries; dictionaries in it hold :class:`StoredTensor` where there was a tensor.

    Raises:
        CheckpointError: It is damaged, no such file, or holds more than tensors and containers.
    """
    records = _zip_records(path)
    storages: dict[int, int] = {}  # address -> bytes

    def note(storage: Storage, _location: str) -> Storage:
        if storage.nbytes():
            storages[storage.data_ptr()] = storage.nbytes()
        return storage

    try:
        # Mapped, not read: the addresses tell where in the file the tensors are.
        content = torch.load(path, mmap=True, weights_only=True, map_location=note)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} holds more than plain tensors, or is damaged. Nothing else is read, because '
            'it could run code.'
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        raise _unreadable(path, str(error).split('\n')[0] or type(error).__name__) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, expected a dictionary.')
    mapped_at = min(storages, default=0) - min(records, default=0)
    if {pointer - mapped_at: size for pointer, size in storages.items()} != {
        offset: record.file_size for offset, record in records.items()
    }:
        raise _unreadable(path, 'its records do not have the sizes that its tensors need.')
    return _as_stored(path, content, mapped_at, records)


def open_safetensors_file(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        CheckpointError: It is damaged, or no such file.
    """
    if not path.is_file():
        raise CheckpointError(f'{path.parent} has no {path.name}.')
    try:
        with safetensors.safe_open(path, framework='pt'):  # checks the header against the size
            pass
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            header = json.loads(file.read(length))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f'{path} cannot be read as a safetensors file: {error}. Download or copy it again.'
        ) from error
    header.pop('__metadata__', None)
    tensors: dict[str, StoredTensor] = {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        dtype = _SAFETENSORS_DTYPES.get(entry['dtype'])
        if dtype is None:
            raise CheckpointError(
                f'{path}: {name} has the number format {entry["dtype"]}; weights must be of '
                'float32, float16 or bfloat16.'
            )
        meta = torch.empty(entry['shape'], dtype=dtype, device='meta')
        tensors[name] = FileTensor(name, path, meta, 8 + length + begin, end - begin)
    return tensors


def _zip_records(path: Path) -> dict[int, zipfile.ZipInfo]:
    """Return the records that hold tensors, not empty, by the position of their data."""
    if not path.is_file():
        raise CheckpointError(f'no checkpoint at {path}. Give a .pt file or a model directory.')
    with path.open('rb') as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            raise CheckpointError(
                f'{path} is no PyTorch checkpoint: it does not begin like a file that torch.save '
                'of PyTorch 1.6 or later wrote. Nothing else is read, because it could run code.'
            )
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                for entry in entries:
                    if entry.filename.endswith('/data.pkl') and entry.CRC:
                        archive.read(entry)  # the list of tensors; compares its checksum
        except zipfile.BadZipFile as error:
            raise _unreadable(path, f'{error}.') from error
        records = {}
        for entry in entries:
            if '/data/' in entry.filename and entry.file_size:
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise _unreadable(path, 'it was compressed; torch.save never does that.')
                records[_data_offset(file, entry)] = entry
    return records


def _data_offset(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    name, extra = (int.from_bytes(header[at : at + 2], 'little') for at in (26, 28))
    return entry.header_offset + _LOCAL_HEADER_BYTES + name + extra


def _as_stored(
    path: Path, content: Mapping[str, Any], mapped_at: int, records: dict[int, zipfile.ZipInfo]
) -> dict[str, Any]:
    """Replace each mapped tensor in nested dictionaries by where it is in the file."""
    stored: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            stored[name] = _as_stored(path, value, mapped_at, records)
        elif isinstance(value, Tensor):
            storage = value.untyped_storage()
            offset = storage.data_ptr() - mapped_at
            crc32 = records[offset].CRC if storage.nbytes() else 0
            elements = storage.nbytes() // value.itemsize
            meta = torch.empty(elements, dtype=value.dtype, device='meta').as_strided(
                value.shape, value.stride(), value.storage_offset()
            )
            stored[name] = FileTensor(str(name), path, meta, offset, storage.nbytes(), crc32)
        else:
            stored[name] = value
    return stored


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f'{path} cannot be read as a PyTorch checkpoint: {reason} Download or copy it again if it '
        'is incomplete.'
    )
