# SPDX-License-Identifier: Apache-2.0
"""Rows of episodes out of the data files of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vjepa_planner.data.dataset import EpisodeEntry
from vjepa_planner.errors import InvalidInputError


class RowReader:
    """Reads rows of episodes, from any thread.

    It keeps the last file open and the last part of it that was read: in the files of others many
    episodes may be one block, which is only read as a whole.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = Lock()
        self._file: _File | None = None

    def read(self, entry: EpisodeEntry, columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows of an episode.

        Raises:
            InvalidInputError: The file is missing, damaged, or has no such rows or columns.
        """
        path = entry.data_file
        try:
            with self._lock:
                if self._file is None or self._file.path != path:
                    self._file = _File(path)
                rows = self._file.rows(entry.first_row, entry.length, tuple(columns))
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(f'{path} cannot be read: {error}.') from error
        if len(rows) != entry.length:
            raise InvalidInputError(f'{path} ends before the end of episode {entry.index}.')
        return rows


class _File:
    """An open file of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parquet = pq.ParquetFile(path)
        metadata = self._parquet.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._ends: npt.NDArray[np.int64] = np.cumsum(sizes, dtype=np.int64)
        self._part: tuple[range, tuple[str, ...]] | None = None
        self._table: pa.Table | None = None

    def rows(self, first: int, count: int, columns: tuple[str, ...]) -> pa.Table:
        """Return rows ``first`` and on, or fewer where the file ends."""
        if missing := set(columns) - set(self._parquet.schema_arrow.names):
            raise InvalidInputError(f'{self.path} has no column {", ".join(sorted(missing))}.')
        begin = int(np.searchsorted(self._ends, first, side='right'))
        end = int(np.searchsorted(self._ends, first + count, side='left')) + 1
        blocks = range(begin, min(end, len(self._ends)))
        if (blocks, columns) != self._part:
            self._table = self._parquet.read_row_groups(list(blocks), columns=list(columns))
            self._part = blocks, columns
        before = int(self._ends[begin - 1]) if begin else 0
        assert self._table is not None
        return self._table.slice(first - before, count)
