# SPDX-License-Identifier: Apache-2.0
"""The distance to a goal."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.energy import energy
from vjepa_planner.errors import InvalidInputError


def test_it_is_the_mean_absolute_difference():
    goal = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    candidates = np.stack([goal, goal + 0.5, goal * [1, -1]]).astype(np.float32)
    np.testing.assert_allclose(energy(candidates, goal), [0.0, 0.5, 3.0])


def test_every_leading_dimension_is_kept():
    embeddings = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    goal = embeddings[1, 2]
    result = energy(embeddings, goal)
    assert result.shape == (2, 3)
    assert result.dtype == np.float32
    assert result[1, 2] == 0.0
    assert energy(goal, goal).shape == ()


def test_half_precision_embeddings_are_accumulated_in_float32():
    goal = np.zeros((256, 1408), dtype=np.float32)
    embeddings = np.full((1, 256, 1408), 0.1, dtype=np.float16)
    np.testing.assert_allclose(energy(embeddings, goal), np.float16(0.1), rtol=1e-5)


@pytest.mark.parametrize('shape', [(5, 3), (5,), (1, 5, 4)])
def test_a_goal_of_another_shape_is_refused(shape):
    with pytest.raises(InvalidInputError):
        energy(np.zeros((2, 5, 4), dtype=np.float32), np.zeros(shape, dtype=np.float32))
