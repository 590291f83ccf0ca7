# SPDX-License-Identifier: Apache-2.0
"""What an inference engine does for the world model: one contract, tested over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import ACTION_DIM, FloatArray, STATE_DIM

PRECISIONS = ('float32', 'bfloat16', 'float16')
"""Number formats of the products of matrices; not every engine and device has all of them."""

StepArray = npt.NDArray[np.float64]


class Backend(ABC):
    """Runs encoder and predictor. numpy in, numpy out; one thread at a time.

    Embeddings are layer-normalised without affine (epsilon 1e-5), both what ``encode`` returns
    and every predicted step, as V-JEPA 2-AC was trained.

    Attributes:
        name: Of the engine, with the version or provider that is really used.
        config: Contents of the model's ``config.json``, with the sizes filled in.
        device: The device that is really used, for example ``'cpu'`` or ``'cuda:0'``.
    """

    name: str
    config: Mapping[str, Any]
    device: str

    @classmethod
    @abstractmethod
    def load(cls, path: Path, device: str, precision: str) -> Backend:
        """Load a model for this engine.

        Args:
            path: Checkpoint or model directory.
            device: ``'auto'`` takes an accelerator where there is one.
            precision: Of the products of matrices: ``'float32'``, ``'bfloat16'``, ...

        Raises:
            CheckpointError: The model cannot be read.
            InvalidInputError: Device or precision are not available.
        """

    def encode(self, clips: FloatArray) -> FloatArray:
        """Return embeddings: features, layer-normalised without affine.

        Args:
            clips: Normalised, shape (B, 3, T, H, W); a still image is the same frame repeated.

        Returns:
            Shape (B, N, D).

        Raises:
            InvalidInputError: The engine has no encoder for this shape.
        """
        return layer_normalised(self.features(clips))

    @abstractmethod
    def features(self, clips: FloatArray) -> FloatArray:
        """Return what the encoder's last, affine layer norm gives.

        Args:
            clips: As in :meth:`encode`.

        Returns:
            Shape (B, N, D).

        Raises:
            InvalidInputError: The engine has no encoder for this shape.
        """

    @abstractmethod
    def rollout(self, context: FloatArray, states: StepArray, actions: StepArray) -> FloatArray:
        """Predict the embedding after each action, feeding predictions back.

        Args:
            context: Embedding of the present image, shape (N, D).
            states: State before each action, shape (S, T, 7).
            actions: Shape (S, T, 7).

        Returns:
            Shape (S, T, N, D); index k is after action k.
        """

    @abstractmethod
    def rollout_energy(
        self, context: FloatArray, states: StepArray, actions: StepArray, goal: FloatArray
    ) -> FloatArray:
        """Return the energy of the last embedding of each rollout.

        Equal to :func:`vjepa_planner.energy.energy` of the last step of :meth:`rollout`, without
        moving the embeddings off the device and with bounded memory.

        Args:
            context: Embedding of the present image, shape (N, D).
            states: State before each action, shape (S, T, 7).
            actions: Shape (S, T, 7).
            goal: Embedding of the goal image, shape (N, D).

        Returns:
            Shape (S,).
        """


def check_precision(precision: str) -> None:
    """Check that a precision is one of ``PRECISIONS``.

    Raises:
        InvalidInputError: It is not.
    """
    if precision not in PRECISIONS:
        raise InvalidInputError(
            f'precision must be one of {", ".join(PRECISIONS)}; got {precision!r}.'
        )


def layer_normalised(features: FloatArray) -> FloatArray:
    """Return features of shape (..., D) layer-normalised without affine, epsilon 1e-5."""
    centred = features - features.mean(axis=-1, keepdims=True, dtype=np.float32)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + np.float32(1e-5)))


def check_rollout_arguments(
    context: FloatArray, states: StepArray, actions: StepArray, goal: FloatArray | None = None
) -> None:
    """Check what every backend needs before a rollout.

    Raises:
        InvalidInputError: Shapes do not fit, or there is no action.
    """
    if np.ndim(context) != 2:
        raise InvalidInputError(f'context must have shape (tokens, dim), got {np.shape(context)}.')
    if (
        np.ndim(actions) != 3
        or np.shape(actions)[2] != ACTION_DIM
        or np.shape(states) != (*np.shape(actions)[:2], STATE_DIM)
        or 0 in np.shape(actions)
    ):
        raise InvalidInputError(
            'actions and states must both have shape (candidates, horizon, 7), none of them 0; '
            f'got {np.shape(actions)} and {np.shape(states)}.'
        )
    if goal is not None and np.shape(goal) != np.shape(context):
        raise InvalidInputError(
            f'goal must have the shape of context {np.shape(context)}, got {np.shape(goal)}.'
        )
