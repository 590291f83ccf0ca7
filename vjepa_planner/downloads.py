# SPDX-License-Identifier: Apache-2.0
"""Downloads of large files that survive interruptions.

A file grows as ``NAME.part`` and gets its name once it is whole and checked. What was received is
kept when the connection breaks or the program is stopped, and the next attempt asks for the rest
(HTTP Range, RFC 9110 section 14); ``NAME.part.etag`` remembers of which version it is.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import logging
import os
from pathlib import Path
import re
import shutil
import time
from typing import BinaryIO, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import build_opener, Request

from vjepa_planner.catalog import CatalogEntry, format_bytes, RemoteFile
from vjepa_planner.errors import VjepaPlannerError
from vjepa_planner.integrity import check_file, Report, silent
from vjepa_planner.model_directory import CONFIG_FILE

# Waits before another attempt [s], each after an attempt that brought nothing.
RETRY_DELAYS = (1.0, 3.0, 10.0)

_TIMEOUT = 30.0
_CHUNK = 1 << 20
# Some servers refuse Python's own name.
_HEADERS = {'User-Agent': 'vjepa_ros', 'Accept-Encoding': 'identity'}
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_log = logging.getLogger(__name__)


class DownloadError(VjepaPlannerError):
    """A file could not be downloaded; the message says what was kept and what to do."""


class UnreachableError(DownloadError):
    """The server was not reached, or did not answer."""


def download_file(file: RemoteFile, folder: Path, report: Report = silent) -> Path:
    """Download a file, or the rest of it, and check it.

    Args:
        file: What to download.
        folder: Where to; made if need be.
        report: Told about the bytes that are there, also while they are checked.

    Returns:
        The path of the file, which has passed every check that can be made.

    Raises:
        DownloadError: It cannot be had, is not the expected one, or does not fit on the disk.
        UnreachableError: There is no network, or the server does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / file.name, folder / f'{file.name}.part'
    with part.open('ab') as stream:
        _lock(stream, part)
        _transfer(file, stream, part, report)
        os.fsync(stream.fileno())
        _check(file, part, report)
        os.replace(part, path)
    _etag_file(part).unlink(missing_ok=True)
    return path


def download_model(
    entry: CatalogEntry, folder: Path, report: Report = silent
) -> tuple[Path, bool]:
    """Download a published model, or the rest of it.

    Args:
        entry: The model.
        folder: The folder of models; the files go into a directory of the model's name in it.
        report: Told about the bytes of the file that is under way.

    Returns:
        What a loader takes, and whether anything had to be downloaded.

    Raises:
        DownloadError: A file cannot be had, is not the expected one, or does not fit on the disk.
    """
    directory = folder / entry.name
    missing = [file for file in entry.files if not _is_here(directory / file.name, file)]
    for file in missing:
        download_file(file, directory, report)
    config = directory / CONFIG_FILE
    if not config.exists():  # last: with it the model is complete
        partial = config.with_suffix('.json.part')
        partial.write_text(json.dumps(entry.config(), indent=2) + '\n', encoding='utf-8')
        os.replace(partial, config)
    return directory if entry.is_directory else directory / entry.checkpoint.name, bool(missing)


def _is_here(path: Path, file: RemoteFile) -> bool:
    if path.is_file() and file.size not in (None, path.stat().st_size):
        raise DownloadError(
            f'{path} is there already, but has {path.stat().st_size} bytes instead of '
            f'{file.size}. Move it away and download again.'
        )
    return path.is_file()


def _lock(stream: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DownloadError(f'another process is downloading {part}.') from error


def _transfer(file: RemoteFile, stream: BinaryIO, part: Path, report: Report) -> None:
    """Receive what is missing, in as many attempts as it takes while each brings something."""
    fruitless = 0
    while True:
        before = stream.tell()
        try:
            return _receive(file, stream, part, report)
        except (OSError, http.client.HTTPException) as error:
            _raise_if_final(error, file)
            fruitless = 0 if stream.tell() > before else fruitless + 1
            if fruitless > len(RETRY_DELAYS):
                _give_up(error, file, part)
            delay = RETRY_DELAYS[max(fruitless - 1, 0)]
            _log.warning(
                '%s: %s after %s; trying again in %g s',
                file.name, _reason(error), format_bytes(stream.tell()), delay,
            )  # fmt: skip
            time.sleep(delay)


def _receive(file: RemoteFile, stream: BinaryIO, part: Path, report: Report) -> None:
    """Make one attempt.

    Raises:
        OSError: The connection failed or broke.
    """
    have = stream.tell()
    if have and have == file.size:
        return
    request = Request(file.url, headers={**_HEADERS, **_range_headers(have, part)})
    try:
        # Not urlopen(), which keeps the proxies of its first call.
        response = build_opener().open(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        total = _total(error.headers.get('Content-Range'))
        if total != have:
            _start_again(stream, part)
            raise ConnectionError('what is here does not fit what is there') from error
        return
    with response:
        total = _prepare(response, file, stream, part)
        _ensure_space(part.parent, total, stream.tell())
        while chunk := response.read1(_CHUNK):
            _write(stream, chunk)
            report(stream.tell(), total)
    if total is not None and stream.tell() != total:
        raise ConnectionError(f'the connection was cut at {stream.tell()} of {total} bytes')


def _range_headers(have: int, part: Path) -> dict[str, str]:
    if not have:
        return {}
    etag = _etag_file(part)
    condition = {'If-Range': etag.read_text()} if etag.is_file() else {}
    return {'Range': f'bytes={have}-', **condition}


def _prepare(
    response: http.client.HTTPResponse, file: RemoteFile, stream: BinaryIO, part: Path
) -> int | None:
    """Return the size of the whole file, with the part made ready for the body of the answer."""
    if response.status == http.client.PARTIAL_CONTENT:
        content_range = response.headers.get('Content-Range', '')
        if not content_range.startswith(f'bytes {stream.tell()}-'):
            _start_again(stream, part)
            raise ConnectionError(f'the server sent another range ({content_range!r})')
        total = _total(content_range)
    else:  # the whole file, because it has changed or the server knows no ranges
        _start_again(stream, part)
        length = response.headers.get('Content-Length')
        total = int(length) if length else None
        etag = response.headers.get('ETag', '')
        if etag.startswith('"'):  # not a weak one, which If-Range does not take
            _etag_file(part).write_text(etag)
    if file.size is not None and total not in (None, file.size):
        raise DownloadError(
            f'{file.url} offers {total} bytes, but {file.name} has {file.size}. The publisher has '
            'replaced it, or something between here and there answers in its place.'
        )
    return total


def _total(content_range: str | None) -> int | None:
    match = re.search(r'/(\d+)$', content_range or '')
    return int(match[1]) if match else None


def _start_again(stream: BinaryIO, part: Path) -> None:
    stream.truncate(0)
    stream.seek(0)
    _etag_file(part).unlink(missing_ok=True)


def _etag_file(part: Path) -> Path:
    return part.with_name(f'{part.name}.etag')


def _ensure_space(folder: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and total - have > free:
        raise DownloadError(
            f'{folder} has {format_bytes(free)} free, {format_bytes(total - have)} are needed. '
            'Make room, or choose another place with --to.'
        )


def _write(stream: BinaryIO, chunk: bytes) -> None:
    try:
        stream.write(chunk)
        stream.flush()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DownloadError(
            f'cannot write: {"the disk is full" if full else error}. What was received is kept; '
            'run the command again to go on.'
        ) from error


def _raise_if_final(error: Exception, file: RemoteFile) -> None:
    """Raise unless another attempt might go better."""
    if isinstance(error, HTTPError) and error.code not in _RETRIED_STATUSES:
        raise DownloadError(
            f'{file.url}: the server says {error.code} {error.reason}. The file has been moved or '
            'is not public; look at the page of the model.'
        ) from error
    if urlsplit(file.url).scheme == 'file':
        raise DownloadError(f'{file.url} cannot be read: {_reason(error)}.') from error


def _give_up(error: Exception, file: RemoteFile, part: Path) -> NoReturn:
    have = part.stat().st_size
    kept = f' {format_bytes(have)} are kept in {part}; run the command again to go on.'
    if not have:
        part.unlink()
        kept = ''
    raise UnreachableError(
        f'{urlsplit(file.url).hostname}: {_reason(error)}. Is there a network here, or a proxy to '
        f'name in https_proxy?{kept}'
    ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f'{error.code} {error.reason}'
    return str(error.reason) if isinstance(error, URLError) else str(error) or repr(error)


def _check(file: RemoteFile, part: Path, report: Report) -> None:
    failed = [c for c in check_file(part, file, report) if c.passed is False]
    if not failed:
        return
    rejected = part.with_name(f'{file.name}.rejected')
    os.replace(part, rejected)
    _etag_file(part).unlink(missing_ok=True)
    reasons = '; '.join(f'{check.what}: {check.detail}' for check in failed)
    raise DownloadError(
        f'{file.name} from {file.url} is not the expected file ({reasons}). It is kept as '
        f'{rejected} to be looked at; delete it and download again.'
    )
