# SPDX-License-Identifier: Apache-2.0
"""Response-surface method: fit a quadratic to energies around a point, and go to its minimum.

A fit uses every sample, also those that are bad; the cross-entropy method uses its elites only.
Where the energy is a long narrow valley, as that of a displacement along the camera's line of
sight is, the fit sees how the valley lies, while a proposal with one width per axis shrinks before
it has come to the end of it. Box and Wilson, J. R. Stat. Soc. B 13(1), 1951.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FLATTEST = 0.1  # smallest curvature, as a share of the largest: flatter is noise
_LONGEST = 2.0  # widths that a step has at most: the fit knows nothing beyond its samples


def number_of_coefficients(dimensions: int) -> int:
    """Return how many coefficients a quadratic in so many dimensions has."""
    return (dimensions + 1) * (dimensions + 2) // 2


def step_to_minimum(
    evaluate: Callable[[Array], npt.NDArray[np.floating]],
    start: Array,
    width: float,
    count: int,
    limit: float,
    rng: np.random.Generator,
) -> Array:
    """Return where the quadratic that fits the energies around ``start`` is lowest.

    Args:
        evaluate: Maps points (count, D) to energies (count,). Points whose energy is not finite
            do not count.
        start: Shape (D,).
        width: Standard deviation of the points around it, in its units.
        count: Number of points.
        limit: Bound of the absolute value of every coordinate, of the points and of the result.
        rng: The only source of randomness.

    Returns:
        A point of shape (D,), at most two widths from ``start`` along every axis; ``start`` if
        too few energies are finite for a fit.
    """
    dimensions = len(start)
    points = np.clip(start + width * rng.standard_normal((count, dimensions)), -limit, limit)
    energies = np.asarray(evaluate(points), np.float64)
    usable = np.isfinite(energies)
    if not dimensions or usable.sum() < number_of_coefficients(dimensions):
        return start.copy()

    offsets = (points[usable] - start) / width
    row, column = np.triu_indices(dimensions)
    terms = np.c_[np.ones(len(offsets)), offsets, offsets[:, row] * offsets[:, column]]
    coefficients = np.linalg.lstsq(terms, energies[usable], rcond=None)[0]
    gradient = coefficients[1 : dimensions + 1]
    hessian = np.zeros((dimensions, dimensions))
    np.add.at(hessian, (row, column), coefficients[dimensions + 1 :])
    hessian += hessian.T

    curvatures, axes = np.linalg.eigh(hessian)
    largest = np.abs(curvatures).max()
    if largest == 0.0:
        return start.copy()
    curvatures = np.maximum(curvatures, _FLATTEST * largest)
    step = -axes @ ((axes.T @ gradient) / curvatures)
    step *= min(1.0, _LONGEST / max(np.abs(step).max(), _LONGEST))
    minimum: Array = np.clip(start + width * step, -limit, limit)
    return minimum
