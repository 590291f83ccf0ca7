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


def episode_stats(images: npt.NDArray[np.uint8], columns: Mapping[str, Any], image: str) -> Stats:
    """Return the statistics of one episode.

    Args:
        images: RGB, shape (frames, height, width, 3).
        columns: Numbers of each frame by feature, shape (frames,) or (frames, numbers).
        image: Feature that the images are.
    """
    stats = {image: _describe_images(images)}
    for name, values in columns.items():
        numbers = np.asarray(values, dtype=np.float64).reshape(len(images), -1)
        stats[name] = {
            'min': numbers.min(axis=0).tolist(),
            'max': numbers.max(axis=0).tolist(),
            'mean': numbers.mean(axis=0).tolist(),
            'std': numbers.std(axis=0).tolist(),
            'count': [len(images)],
        }
    return stats


def _describe_images(images: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return the statistics of images, by counting how often each level occurs."""
    levels = np.arange(256) / 255
    described: dict[str, list[Any]] = {name: [] for name in ('min', 'max', 'mean', 'std')}
    for channel in range(3):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        present = levels[counts > 0]
        mean = np.average(levels, weights=counts)
        variance = np.average((levels - mean) ** 2, weights=counts)
        for name, value in zip(
            described, (present[0], present[-1], mean, np.sqrt(variance)), strict=True
        ):
            described[name].append([[float(value)]])
    return {**described, 'count': [len(images)]}


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
