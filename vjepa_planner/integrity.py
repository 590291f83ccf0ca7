# SPDX-License-Identifier: Apache-2.0
"""Whether a model file is whole, found out without executing anything that is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import hashlib
from pathlib import Path
import pickletools
import re
import zipfile
import zlib

from vjepa_planner.catalog import CATALOG, entry_for_path, RemoteFile
from vjepa_planner.errors import CheckpointError
from vjepa_planner.model_directory import read_config_file
from vjepa_planner.safetensors_header import read_safetensors_header

# Takes the bytes done and the bytes in all, None where unknown.
Report = Callable[[int, int | None], None]

_CHUNK = 1 << 20
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError)
"""What zipfile raises about damaged archives; RuntimeError where a bit says "encrypted"."""

_LEGACY_TORCH_MAGIC = b'\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19'


# Pickle's instructions that name something to be called, and what PyTorch calls for tensors and
# containers. This is what its own weights_only reading accepts, without torch.
_CALLABLES = ('GLOBAL', 'INST', 'STACK_GLOBAL', 'EXT1', 'EXT2', 'EXT4')
_HARMLESS = re.compile(
    r'collections (OrderedDict|Counter)|(builtins|__builtin__) (bytearray|complex|set)|'
    r'_codecs encode|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2|'
    r'torch\.nn\.parameter Parameter|torch\.serialization _get_layout|'
    r'torch(\.cuda|\.sparse|\.storage)* [A-Z]\w*(Storage|Tensor)|'
    r'torch (Tensor|Size|device|bool|per_\w+|[a-z]+\d\w*)'
)


def silent(done: int, total: int | None) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        file: Name of the file.
        what: ``'size'``, ``'sha256'`` or ``'structure'``.
        passed: None if there is nothing to compare with.
        detail: What was found, in one line.
    """

    file: str
    what: str
    passed: bool | None
    detail: str


def files_of(path: Path) -> list[tuple[Path, RemoteFile]]:
    """Return the files of a model, each with what is known about it.

    Args:
        path: A checkpoint, or a model directory.

    Raises:
        CheckpointError: The directory has none.
    """
    if not path.is_dir():
        return [(path, _known_file(path))]
    if path.name in CATALOG:
        return [(path / file.name, file) for file in CATALOG[path.name].files]
    found = [p for p in sorted(path.iterdir()) if p.suffix in ('.json', '.pt', '.safetensors')]
    if not found:
        raise CheckpointError(f'{path} has no model files.')
    return [(file, RemoteFile(name=file.name, url='')) for file in found]


def _known_file(path: Path) -> RemoteFile:
    """Return what the catalogue says about a file of this name."""
    entry = entry_for_path(path)
    if entry is not None:
        return entry.checkpoint
    neighbours = CATALOG[path.parent.name].files if path.parent.name in CATALOG else ()
    known = {file.name: file for file in neighbours}
    return known.get(path.name, RemoteFile(name=path.name, url=''))


def check_file(path: Path, file: RemoteFile, report: Report = silent) -> list[Check]:
    """Check a file against what is known about it, and its structure.

    Args:
        path: The file, whatever it is called now.
        file: What it should be.
        report: Told about the bytes that were read.

    Returns:
        Three checks. Where no checksum is known, the computed one is in the detail, and the
        structure is checked down to the checksums that the file itself carries.

    Raises:
        CheckpointError: There is no such file.
    """
    if not path.is_file():
        raise CheckpointError(f'no file at {path}.')
    checks = [_check_size(path, file)]
    if checks[0].passed is not False:
        checks.append(_check_sha256(path, file, report))
    try:
        structure = read_structure(path, file.name, deeply=file.sha256 is None, report=report)
        checks.append(Check(file.name, 'structure', structure != LEGACY or None, structure))
    except CheckpointError as error:
        checks.append(Check(file.name, 'structure', False, str(error)))
    return checks


def _check_size(path: Path, file: RemoteFile) -> Check:
    found = path.stat().st_size
    if file.size is None:
        return Check(file.name, 'size', None, f'{found} bytes; the exact size is not known')
    passed = found == file.size
    detail = f'{found} bytes' if passed else f'{found} bytes, expected {file.size}'
    return Check(file.name, 'size', passed, detail)


def _check_sha256(path: Path, file: RemoteFile, report: Report) -> Check:
    found = sha256_of(path, report)
    if file.sha256 is None:
        return Check(file.name, 'sha256', None, f'{found}; no value to compare with is known')
    passed = found == file.sha256
    return Check(
        file.name, 'sha256', passed, found if passed else f'{found}, expected {file.sha256}'
    )


def sha256_of(path: Path, report: Report = silent) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open('rb') as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done, total)
    return digest.hexdigest()


LEGACY = 'format of PyTorch before 1.6, which cannot be checked without executing it'


def read_structure(path: Path, name: str, deeply: bool = False, report: Report = silent) -> str:
    """Read the structure of a checkpoint or ``config.json``.

    Args:
        path: The file.
        name: Its proper name, which says what it should be.
        deeply: Whether to compare all contents with the checksums that a ZIP archive carries.
        report: Told about the bytes that were compared.

    Returns:
        What it is, in one line; ``LEGACY`` if that is all that can be said.

    Raises:
        CheckpointError: It is cut, damaged, or none of the formats.
    """
    if name.endswith('.json'):
        return _read_json(path)
    if name.endswith('.safetensors'):
        return _read_safetensors(path)
    with path.open('rb') as stream:
        start = stream.read(len(_LEGACY_TORCH_MAGIC))
    if start == _LEGACY_TORCH_MAGIC:
        return LEGACY
    if not start.startswith(b'PK'):
        raise CheckpointError(
            f'{path} is no PyTorch checkpoint: it starts with {start[:8]!r}'
            + (', like a web page.' if start.lstrip().startswith(b'<') else '.')
        )
    return _read_zip(path, deeply, report)


def _read_json(path: Path) -> str:
    return f'JSON, {len(read_config_file(path) or {})} entries'


def _read_zip(path: Path, deeply: bool, report: Report) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if not any(member.filename.endswith('/data.pkl') for member in members):
                raise CheckpointError(f'{path} is a ZIP archive, but no PyTorch checkpoint.')
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise CheckpointError(f'{path} was compressed; torch.save never does that.')
            for member in members:
                if member.filename.endswith('/data.pkl'):
                    _refuse_code(path, archive.read(member))
            if deeply:
                _read_members(archive, report)
    except ZIP_ERRORS as error:
        raise CheckpointError(
            f'{path} is a damaged or incomplete PyTorch checkpoint ({error}).'
        ) from error
    tensors = sum('/data/' in member.filename for member in members)
    return f'PyTorch checkpoint, {tensors} storages' + (', contents intact' if deeply else '')


def _refuse_code(path: Path, pickled: bytes) -> None:
    """Read a pickle's instructions, without following them, for what they would call."""
    for opcode, argument, _ in pickletools.genops(pickled):
        named = str(argument) if opcode.name in ('GLOBAL', 'INST') else 'something computed'
        if opcode.name in _CALLABLES and not _HARMLESS.fullmatch(named):
            raise CheckpointError(
                f'{path} holds more than plain tensors: it would call {named}. It will not be '
                'loaded.'
            )


def _read_members(archive: zipfile.ZipFile, report: Report) -> None:
    """Read everything: zipfile compares with the CRC-32 of each member."""
    members = archive.infolist()
    done, total = 0, sum(member.file_size for member in members)
    for member in members:
        with archive.open(member) as stream:
            while chunk := stream.read(_CHUNK):
                done += len(chunk)
                report(done, total)


def _read_safetensors(path: Path) -> str:
    header, _ = read_safetensors_header(path)
    return f'safetensors, {len(header)} tensors'
