# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.backends.chunks import candidate_chunks, filled_up

SIZES = {'predictor_embed_dim': 128, 'mlp_ratio': 4.0}
BYTES_PER_TOKEN = 4 * 128 * (8 + 4)


def lengths(candidates, memory, limit):
    return [
        part.stop - part.start for part in candidate_chunks(candidates, SIZES, 10, memory, limit)
    ]


def test_every_candidate_is_in_one_chunk_and_no_chunk_exceeds_memory_or_limit():
    memory = 10 * BYTES_PER_TOKEN * 4
    assert lengths(10, memory, 100) == [4, 4, 2]
    assert lengths(10, memory, 3) == [3, 3, 3, 1]
    assert lengths(10, 10**12, 100) == [10]
    parts = list(candidate_chunks(10, SIZES, 10, memory, 3))
    assert np.concatenate([np.arange(10)[part] for part in parts]).tolist() == list(range(10))


def test_a_memory_too_small_for_one_candidate_takes_one_at_a_time():
    assert lengths(3, 1, 100) == [1, 1, 1]


@pytest.mark.parametrize(('count', 'size'), [(1, 1), (2, 8), (8, 8), (9, 32)])
def test_rows_are_filled_up_to_the_next_size_with_the_last_one(count, size):
    rows = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    filled = filled_up(rows, (1, 8, 32))
    assert filled.shape == (size, 2)
    np.testing.assert_array_equal(filled[:count], rows)
    assert (filled[count:] == rows[-1]).all()


def test_an_engine_that_takes_any_size_gets_the_rows_as_they_are():
    rows = np.zeros((3, 2))
    assert filled_up(rows, ()) is rows
