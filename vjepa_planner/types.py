# SPDX-License-Identifier: Apache-2.0
"""The nouns of the library, each with its shape, unit and frame stated once.

Dimension letters, used in every trailing comment and nowhere redefined:

====  =============================================================
B     batch
S     candidates (sampled action sequences)
T     time steps of an action sequence (its length is the *horizon*)
N     patch tokens of one image
D     width of an embedding
C     image channels; always 3, RGB
====  =============================================================

*State* and *action* follow V-JEPA 2-AC (``docs/conventions.md``):

- state ``(7,)`` = ``x y z`` [m] and extrinsic-xyz Euler angles [rad] of the model's
  end-effector frame in the robot base frame, then the gripper's closedness
  (0 open .. 1 closed);
- action ``(7,)`` = ``dx dy dz`` [m] in the base frame, Euler angles [rad] of
  ``R_next @ R_now.T``, then the change of closedness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError

STATE_DIM = 7
ACTION_DIM = 7

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def check_image(image: object, name: str = 'image') -> Image:
    """Return ``image`` if it is an RGB image.

    Args:
        image: Anything; accepted is uint8 of shape (height, width, 3), RGB, at least 16 px a side.
        name: What to call it in the error.

    Raises:
        InvalidInputError: It is something else.
    """
    if not isinstance(image, np.ndarray):
        raise InvalidInputError(
            f'{name} must be a numpy array of shape (height, width, 3), '
            f'got {type(image).__name__}.'
        )
    if image.dtype != np.uint8:
        raise InvalidInputError(
            f'{name} must be uint8 in 0..255, got {image.dtype}. Multiply by 255 and cast if it '
            'is in 0..1.'
        )
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 16:
        raise InvalidInputError(
            f'{name} must have shape (height, width, 3) with at least 16 pixels a side, '
            f'got {image.shape}.'
        )
    return image


def check_state(state: object, name: str = 'state') -> npt.NDArray[np.float64]:
    """Return ``state`` as float64 of shape (7,).

    Raises:
        InvalidInputError: Wrong shape, or NaN or infinity inside.
    """
    array = np.asarray(state, dtype=np.float64)
    if array.shape != (STATE_DIM,):
        raise InvalidInputError(
            f'{name} must be 7 numbers (x y z [m], extrinsic-xyz Euler [rad], closedness 0..1), '
            f'got shape {array.shape}.'
        )
    if not np.isfinite(array).all():
        raise InvalidInputError(f'{name} contains NaN or infinity: {array.tolist()}.')
    return array


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the robot sees and measures at one instant.

    Give the image, or its embedding where another process has encoded it already.

    Attributes:
        state: Measured state, shape (7,).
        stamp: Time of the image [s], in the clock of whoever took it.
        image: RGB image, uint8, shape (height, width, 3).
        embedding: Embedding of the image, shape (tokens, dim), layer-normalised.
    """

    state: npt.NDArray[np.float64]
    stamp: float = 0.0
    image: Image | None = None
    embedding: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        object.__setattr__(self, 'state', check_state(self.state))
        _check_image_or_embedding('Observation', self.image, self.embedding)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """How the scene should look, as an image or as its embedding.

    Attributes:
        image: RGB image, uint8, shape (height, width, 3).
        embedding: Embedding of the image, shape (tokens, dim), layer-normalised.
        goal_id: Name by which plans refer to this goal.
    """

    image: Image | None = None
    embedding: FloatArray | None = None
    goal_id: str = ''

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        _check_image_or_embedding('Goal', self.image, self.embedding)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The outcome of one planning cycle.

    Attributes:
        actions: Planned actions, shape (horizon, 7); the first one is to be executed.
        energy: Energy of the planned sequence: distance of its predicted last embedding to the
            goal's, mean absolute difference. It is evaluated on ``actions`` themselves.
        current_energy: Distance of the current embedding to the goal's, before any action.
        evaluations: Number of action sequences that were rolled out.
        duration: Wall time from observation to plan [s].
        stamp: Time of the image that this plan was made from [s].
        goal_id: The goal that was planned for.
        iteration_energies: Lowest energy among the candidates of each iteration.
    """

    actions: npt.NDArray[np.float64]
    energy: float
    current_energy: float
    evaluations: int
    duration: float
    stamp: float
    goal_id: str = ''
    iteration_energies: tuple[float, ...] = field(default=())


def _check_image_or_embedding(
    owner: str, image: Image | None, embedding: FloatArray | None
) -> None:
    if image is None and embedding is None:
        raise InvalidInputError(f'{owner} needs an image or an embedding, got neither.')
    if image is not None:
        check_image(image, f'{owner}.image')
    if embedding is not None:
        if np.ndim(embedding) != 2:
            raise InvalidInputError(
                f'{owner}.embedding must have shape (tokens, dim), got {np.shape(embedding)}.'
            )
        if not np.isfinite(embedding).all():
            raise InvalidInputError(f'{owner}.embedding contains NaN or infinity.')
