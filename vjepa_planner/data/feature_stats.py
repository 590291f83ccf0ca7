# SPDX-License-Identifier: Apache-2.0
"""Mean, deviation and range of the features of a dataset, in the form LeRobot keeps them.

Every statistic is a list, even of a single number; those of images are in 0..1 and have the shape
(3, 1, 1), a number per channel. ``count`` is the number of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Stats = dict[str, dict[str, Any]]
"""Feature, then ``min``, ``max``, ``mean``, ``std``, ``count``, then nested lists of numbers."""

_IMAGES = 32  # of an episode, evenly spaced: enough for means that only normalise


def episode_stats(images: npt.NDArray[np.uint8], columns: Mapping[str, Any], image: str) -> Stats:
    """Return the statistics of one episode.

    Args:
        images: RGB, shape (frames, height, width, 3).
        columns: Numbers of each frame by feature, shape (frames,) or (frames, numbers).
        image: Feature that the images are.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, _IMAGES).astype(int))
    pixels = images[chosen].reshape(-1, 3) / 255.0
    stats = {image: _describe(pixels, len(images), (3, 1, 1))}
    for name, values in columns.items():
        numbers = np.asarray(values, dtype=np.float64).reshape(len(images), -1)
        stats[name] = _describe(numbers, len(images), (numbers.shape[1],))
    return stats


def _describe(
    values: npt.NDArray[np.float64], count: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    described = {
        'min': values.min(axis=0),
        'max': values.max(axis=0),
        'mean': values.mean(axis=0),
        'std': values.std(axis=0),
    }
    lists = {name: value.reshape(shape).tolist() for name, value in described.items()}
    return {**lists, 'count': [count]}


def merge_stats(parts: list[Stats]) -> Stats:
    """Return the statistics of several episodes together, each weighted by its frames.

    The variance of the whole is the mean of the variances plus the variance of the means.
    """
    return {feature: _merge([part[feature] for part in parts]) for feature in parts[0]}


def _merge(parts: list[dict[str, Any]]) -> dict[str, Any]:
    counts = np.array([part['count'][0] for part in parts], dtype=np.float64)
    means = np.array([part['mean'] for part in parts])
    weights = (counts / counts.sum()).reshape(-1, *(1,) * (means.ndim - 1))
    mean = (weights * means).sum(axis=0)
    variances = np.array([part['std'] for part in parts]) ** 2
    variance = (weights * (variances + (means - mean) ** 2)).sum(axis=0)
    return {
        'min': np.min([part['min'] for part in parts], axis=0).tolist(),
        'max': np.max([part['max'] for part in parts], axis=0).tolist(),
        'mean': mean.tolist(),
        'std': np.sqrt(variance).tolist(),
        'count': [int(counts.sum())],
    }
