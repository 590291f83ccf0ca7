# SPDX-License-Identifier: Apache-2.0
"""Rotations, states and actions: the one place where the conventions are arithmetic.

Euler angles are *extrinsic* xyz in radians, ``R = Rz(rz) @ Ry(ry) @ Rx(rx)``; quaternions are
``x y z w``. Every function works over any leading dimensions and computes in float64.

The state and the action of V-JEPA 2-AC (7 numbers each) are described in
:mod:`vjepa_planner.types`. A rotation delta is a left factor, that is, a rotation about the axes
of the base frame: ``R_next = R(delta) @ R_now``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError

Float64Array = npt.NDArray[np.float64]

_POSITION = slice(0, 3)
_ROTATION = slice(3, 6)
_CLOSEDNESS = 6

# Below this cosine of the middle angle the first and the last angle turn about the same axis.
_GIMBAL_LOCK_COSINE = 1e-7


def compose_states(state: npt.ArrayLike, action: npt.ArrayLike) -> Float64Array:
    """Return the state that an action leads to.

    Args:
        state: States, shape (..., 7): position [m], Euler angles [rad], closedness.
        action: Actions, shape (..., 7), broadcast against ``state``.

    Returns:
        States of shape (..., 7); Euler angles in (-pi, pi], closedness clipped to 0..1.

    Raises:
        InvalidInputError: The last dimension is not 7.
    """
    now, delta = _as_vectors(state, 7, 'state'), _as_vectors(action, 7, 'action')
    rotation = euler_to_matrix(delta[..., _ROTATION]) @ euler_to_matrix(now[..., _ROTATION])
    result = np.empty(np.broadcast_shapes(now.shape, delta.shape))
    result[..., _POSITION] = now[..., _POSITION] + delta[..., _POSITION]
    result[..., _ROTATION] = matrix_to_euler(rotation)
    result[..., _CLOSEDNESS] = np.clip(now[..., _CLOSEDNESS] + delta[..., _CLOSEDNESS], 0.0, 1.0)
    return result


def state_difference(state: npt.ArrayLike, next_state: npt.ArrayLike) -> Float64Array:
    """Return the action that leads from one state to the next: the inverse of composition.

    Args:
        state: States, shape (..., 7).
        next_state: States, shape (..., 7), broadcast against ``state``.

    Returns:
        Actions of shape (..., 7): difference of position [m], Euler angles [rad] of
        ``R_next @ R_now.T``, difference of closedness.

    Raises:
        InvalidInputError: The last dimension is not 7.
    """
    now, after = _as_vectors(state, 7, 'state'), _as_vectors(next_state, 7, 'next_state')
    inverse = np.swapaxes(euler_to_matrix(now[..., _ROTATION]), -1, -2)
    result = after - now
    result[..., _ROTATION] = matrix_to_euler(euler_to_matrix(after[..., _ROTATION]) @ inverse)
    return result


def euler_to_matrix(euler: npt.ArrayLike) -> Float64Array:
    """Return rotation matrices (..., 3, 3) of extrinsic xyz Euler angles (..., 3) [rad]."""
    angles = _as_vectors(euler, 3, 'euler')
    sx, sy, sz = np.moveaxis(np.sin(angles), -1, 0)
    cx, cy, cz = np.moveaxis(np.cos(angles), -1, 0)
    return _stack_matrix(
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )


def matrix_to_euler(matrix: npt.ArrayLike) -> Float64Array:
    """Return extrinsic xyz Euler angles (..., 3) [rad] of rotation matrices (..., 3, 3).

    The middle angle is in [-pi/2, pi/2]. At its ends the other two are not unique; the last one
    is then zero.
    """
    m = _as_matrices(matrix)
    cos_y = np.hypot(m[..., 0, 0], m[..., 1, 0])
    locked = cos_y < _GIMBAL_LOCK_COSINE
    rx = np.where(
        locked,
        np.arctan2(-m[..., 1, 2], m[..., 1, 1]),
        np.arctan2(m[..., 2, 1], m[..., 2, 2]),
    )
    ry = np.arctan2(-m[..., 2, 0], cos_y)
    rz = np.where(locked, 0.0, np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    return np.stack((rx, ry, rz), axis=-1)


def quaternion_xyzw_to_matrix(quaternion: npt.ArrayLike) -> Float64Array:
    """Return rotation matrices (..., 3, 3) of quaternions (..., 4) in the order x y z w.

    The quaternions need not have unit length.

    Raises:
        InvalidInputError: A quaternion is zero or not finite, or the last dimension is not 4.
    """
    q = _as_vectors(quaternion, 4, 'quaternion')
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 1e-12).all()):
        raise InvalidInputError(
            f'quaternion must be finite and not zero, got {q.tolist()}. Order is x y z w.'
        )
    x, y, z, w = np.moveaxis(q / length, -1, 0)
    return _stack_matrix(
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


def matrix_to_quaternion_xyzw(matrix: npt.ArrayLike) -> Float64Array:
    """Return unit quaternions (..., 4), order x y z w with w >= 0, of matrices (..., 3, 3)."""
    m = _as_matrices(matrix)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    yx, zx, zy = (
        m[..., 1, 0] + m[..., 0, 1],
        m[..., 2, 0] + m[..., 0, 2],
        m[..., 2, 1] + m[..., 1, 2],
    )
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    # 4 q qT: each row is the quaternion times four times one of its components. The row of the
    # largest component is the one that divides by a number far from zero.
    outer = np.stack(
        [
            np.stack((1 + xx - yy - zz, yx, zx, wx), axis=-1),
            np.stack((yx, 1 - xx + yy - zz, zy, wy), axis=-1),
            np.stack((zx, zy, 1 - xx - yy + zz, wz), axis=-1),
            np.stack((wx, wy, wz, 1 + xx + yy + zz), axis=-1),
        ],
        axis=-2,
    )
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    rows = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    upper: Float64Array = np.where(unit[..., 3:] < 0, -unit, unit)
    return upper


def quaternion_xyzw_to_euler(quaternion: npt.ArrayLike) -> Float64Array:
    """Return extrinsic xyz Euler angles (..., 3) [rad] of quaternions (..., 4), x y z w."""
    return matrix_to_euler(quaternion_xyzw_to_matrix(quaternion))


def euler_to_quaternion_xyzw(euler: npt.ArrayLike) -> Float64Array:
    """Return unit quaternions (..., 4), x y z w with w >= 0, of Euler angles (..., 3) [rad]."""
    return matrix_to_quaternion_xyzw(euler_to_matrix(euler))


def _stack_matrix(*rows: tuple[Float64Array, Float64Array, Float64Array]) -> Float64Array:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _as_vectors(value: npt.ArrayLike, size: int, name: str) -> Float64Array:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise InvalidInputError(f'{name} must have shape (..., {size}), got {array.shape}.')
    return array


def _as_matrices(value: npt.ArrayLike) -> Float64Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape[-2:] != (3, 3):
        raise InvalidInputError(f'matrix must have shape (..., 3, 3), got {array.shape}.')
    return array
