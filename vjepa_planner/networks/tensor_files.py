# SPDX-License-Identifier: Apache-2.0
"""The two kinds of files that tensors come in: PyTorch's and safetensors.

Nothing of a PyTorch file is executed: only plain tensors and containers are unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle
import re
from typing import Any, BinaryIO
import warnings
import zipfile

import torch
from torch import Tensor
from torch.types import Storage

from vjepa_planner.errors import CheckpointError
from vjepa_planner.integrity import ZIP_ERRORS
from vjepa_planner.networks.stored_tensors import FileTensor, StoredTensor
from vjepa_planner.safetensors_header import read_safetensors_header

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
        Its entries; dictionaries in it hold :class:`StoredTensor` where there was a tensor. One
        that is sparse, quantised or has no numbers stays as torch gave it.

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
        with warnings.catch_warnings(action='ignore'):  # about odd files, which are refused
            content = torch.load(path, mmap=True, weights_only=True, map_location=note)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} holds more than plain tensors, or is damaged. Nothing else is read, because '
            'it could run code.'
        ) from error
    except Exception as error:  # a damaged list of tensors can make it fail in any way
        raise _unreadable(path, _first_sentence(error)) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, expected a dictionary.')
    mapped_at = min(storages, default=0) - min(records, default=0)
    if {pointer - mapped_at: size for pointer, size in storages.items()} != {
        offset: record.file_size for offset, record in records.items()
    }:
        raise _unreadable(path, 'its records do not have the sizes that its tensors need')
    try:
        return _as_stored(path, content, mapped_at, records)
    except RecursionError as error:
        raise _unreadable(path, 'its dictionaries contain themselves') from error


def open_safetensors_file(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        CheckpointError: It is damaged, or no such file.
    """
    header, start = read_safetensors_header(path)
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
        tensors[name] = FileTensor(name, path, meta, start + begin, end - begin)
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
                _check_entries(path, archive)
        except ZIP_ERRORS as error:
            raise _unreadable(path, str(error)) from error
        return {
            _data_offset(file, entry): entry
            for entry in entries
            if '/data/' in entry.filename and entry.file_size
        }


def _check_entries(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse what torch.save never writes, and what it wrote elsewhere and is read wrong here."""
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:  # a small file could fill the memory
            raise _unreadable(path, 'it was compressed; torch.save never does that')
        if not entry.CRC:  # torch was told to write none; zipfile would take 0 for one
            continue
        if entry.filename.endswith('/data.pkl'):
            archive.read(entry)  # the list of tensors; compares its checksum
        if entry.filename.endswith('/byteorder') and archive.read(entry) != b'little':
            raise _unreadable(path, 'it was written by a big-endian machine')


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
        elif isinstance(value, Tensor) and _is_plain(value):
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


def _is_plain(tensor: Tensor) -> bool:
    """Return whether the numbers of a tensor are what lies in its storage."""
    return (
        tensor.layout is torch.strided
        and not (tensor.is_quantized or tensor.is_meta)
        and not (tensor.is_neg() or tensor.is_conj())  # to be negated or conjugated when read
    )


def _first_sentence(error: Exception) -> str:
    """Return what torch says, without where in its sources and what it advises."""
    text = re.sub(r'^\[enforce fail[^]]*\] *\.? *', '', str(error).split('\n')[0])
    return re.split(r'\.\s', text)[0] or type(error).__name__


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f'{path} cannot be read as a PyTorch checkpoint: {reason.rstrip(".")}. Download or copy '
        'it again if it is incomplete.'
    )
