# SPDX-License-Identifier: Apache-2.0
"""The world model: images to embeddings, and embeddings through actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from vjepa_planner import energy as _energy
from vjepa_planner.backends import Backend, backend_class
from vjepa_planner.catalog import entry_for_path
from vjepa_planner.errors import CheckpointError, InvalidInputError
from vjepa_planner.geometry import compose_states
from vjepa_planner.model_directory import read_model_config
from vjepa_planner.model_files import DEFAULT_MODEL, find_model, UNTRAINED
from vjepa_planner.preprocessing import check_crop, ImagePreprocessor
from vjepa_planner.types import ACTION_DIM, check_state, FloatArray

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """What a model's ``config.json`` says besides the sizes of its networks.

    Attributes:
        name: Of the model.
        image_size: Height and width of the images that it sees [px].
        crop: How camera images become that size, see ``ImagePreprocessor``.
        ee_frame: The end-effector frame that its states are of.
        planner: Recommended planner: ``name`` and settings.
    """

    name: str
    image_size: tuple[int, int]
    # How V-JEPA 2-AC was trained.
    crop: str = 'squash'
    # DROID's Cartesian position is taken to be of the flange, link 8; Meta does not say.
    ee_frame: str = 'fr3_link8'
    planner: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({'name': 'cem'}))


class WorldModel:
    """Encodes images and predicts what actions do to their embeddings.

    One thread at a time.

    Attributes:
        backend: Runs the networks.
        config: Image size, end-effector frame, recommended planner.
        preprocessor: Camera images to clips.
    """

    def __init__(self, backend: Backend, config: WorldModelConfig) -> None:
        """Combine a backend with what is known about its model.

        Raises:
            InvalidInputError: The image size does not divide into patches, or the crop is unknown.
        """
        self.backend = backend
        self.config = config
        self._encoder = backend.config['encoder']
        tubelet, patch = int(self._encoder['tubelet_size']), self._encoder['patch_size']
        if any(side % patch for side in config.image_size):
            raise InvalidInputError(
                f'image_size must be multiples of the patch size {patch}, got {config.image_size}.'
            )
        self.preprocessor = ImagePreprocessor(config.image_size, config.crop, tubelet)

    @property
    def embedding_shape(self) -> tuple[int, int]:
        """Tokens and width of the embedding of one image."""
        height, width = (side // self._encoder['patch_size'] for side in self.config.image_size)
        return height * width, self._encoder['embed_dim']

    @property
    def can_plan(self) -> bool:
        """Whether it has an action-conditioned predictor."""
        return 'ac_predictor' in self.backend.config

    def encode(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Return the embeddings of images, each taken by itself.

        Args:
            images: RGB, uint8, shape (B, height, width, 3), of any size.

        Returns:
            Shape (B, tokens, dim), float32, layer-normalised without affine.

        Raises:
            InvalidInputError: Another dtype or shape.
        """
        return self.backend.encode(self.preprocessor(images))

    def rollout(
        self, embedding: FloatArray, state: npt.ArrayLike, actions: npt.ArrayLike
    ) -> tuple[FloatArray, Float64Array]:
        """Predict where action sequences lead.

        Args:
            embedding: Of the present image, shape (tokens, dim).
            state: Present state, shape (7,).
            actions: Candidates, shape (S, T, 7).

        Returns:
            Embeddings (S, T, tokens, dim) and states (S, T, 7) after each action.

        Raises:
            InvalidInputError: Shapes do not fit, or numbers are not finite.
        """
        actions = self._checked_actions(actions)
        states = _integrate(check_state(state), actions)
        self._check_embedding(embedding, 'embedding')
        return self.backend.rollout(embedding, states[:, :-1], actions), states[:, 1:]

    def energy(self, embeddings: FloatArray, goal: FloatArray) -> FloatArray:
        """Return the mean absolute difference (...) of embeddings (..., tokens, dim) to a goal.

        Raises:
            InvalidInputError: The goal's shape (tokens, dim) does not fit.
        """
        return _energy.energy(embeddings, goal)

    def candidate_energies(
        self,
        embedding: FloatArray,
        state: npt.ArrayLike,
        actions: npt.ArrayLike,
        goal: FloatArray,
    ) -> FloatArray:
        """Return the energy to which each candidate leads: the planner's inner loop.

        Equal to :meth:`energy` of the last step of :meth:`rollout`, but faster.

        Args:
            embedding: Of the present image, shape (tokens, dim).
            state: Present state, shape (7,).
            actions: Candidates, shape (S, T, 7).
            goal: Embedding of the goal image, shape (tokens, dim).

        Returns:
            Shape (S,).

        Raises:
            InvalidInputError: Shapes do not fit, or numbers are not finite.
        """
        actions = self._checked_actions(actions)
        states = _integrate(check_state(state), actions)
        self._check_embedding(embedding, 'embedding')
        self._check_embedding(goal, 'goal')
        return self.backend.rollout_energy(embedding, states[:, :-1], actions, goal)

    def _check_embedding(self, embedding: FloatArray, name: str) -> None:
        if np.shape(embedding) != self.embedding_shape:
            raise InvalidInputError(
                f'{name} must have shape (tokens, dim) = {self.embedding_shape} for model '
                f'{self.config.name!r}, got {np.shape(embedding)}.'
            )

    @staticmethod
    def _checked_actions(actions: npt.ArrayLike) -> Float64Array:
        array = np.asarray(actions, dtype=np.float64)
        if array.ndim != 3 or array.shape[2] != ACTION_DIM or 0 in array.shape:
            raise InvalidInputError(
                'actions must have shape (candidates, horizon, 7), none of them 0; '
                f'got {array.shape}.'
            )
        if not np.isfinite(array).all():
            raise InvalidInputError('actions contain NaN or infinity.')
        return array


def load_world_model(
    path_or_name: str | Path,
    backend: str = 'torch',
    device: str = 'auto',
    seed: int | None = None,
    precision: str = 'float32',
    crop: str | None = None,
) -> WorldModel:
    """Load a world model.

    Args:
        path_or_name: A ``.pt`` file of the official layout, a model directory, the name of a
            model under ``models/`` or of a downloaded one, or ``'untrained'``: the shipped
            model's networks with random weights, against which a trained one is compared.
            Official files are recognised by their names, wherever they lie.
        backend: See ``available_backends``.
        device: ``'auto'`` takes a GPU where there is one; else ``'cpu'``, ``'cuda'``, ...
        seed: Of the weights of ``'untrained'``, 0 if None; otherwise without effect.
        precision: ``'float32'``, ``'bfloat16'`` or ``'float16'``, where engine and device have it.
        crop: How camera images become what it sees, see ``ImagePreprocessor``; None: as its
            ``config.json`` says, or as the official weights were trained.

    Raises:
        UnknownNameError: There is no such model or backend.
        CheckpointError: The model cannot be read.
        MissingDependencyError: The backend's package is not installed.
        InvalidInputError: Device or precision are not available, or the crop is unknown.
    """
    if crop is not None:
        check_crop(crop)
    if str(path_or_name) == UNTRAINED:
        if backend != 'torch':
            raise InvalidInputError(
                f'the model {UNTRAINED!r} is made by torch and has no graphs for backend '
                f'{backend!r}. Use backend torch.'
            )
        return make_world_model(_untrained_backend(device, seed or 0, precision), UNTRAINED, crop)
    path = find_model(path_or_name)
    entry = entry_for_path(path)
    loaded = backend_class(backend).load(path, device, precision)
    if entry is None:
        return make_world_model(loaded, path.stem, crop)
    return make_world_model(loaded, entry.name, crop, entry.settings)


def make_world_model(
    backend: Backend,
    name: str,
    crop: str | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> WorldModel:
    """Return the world model of a loaded backend, set up as its ``config.json`` says.

    Args:
        backend: Its ``config`` is read.
        name: Used where the config has none.
        crop: Used instead of the config's.
        defaults: Used for what the config does not say: ``crop``, ``ee_frame``, ``planner``.

    Raises:
        CheckpointError: An entry of ``config.json`` is not usable.
    """
    given = {
        key: backend.config[key]
        for key in ('name', 'crop', 'ee_frame', 'planner')
        if key in backend.config
    }
    if crop is not None:
        given['crop'] = crop
    size = backend.config.get('image_size', backend.config['encoder']['img_size'])
    try:
        height, width = (size, size) if isinstance(size, int) else size
        entries = {'name': name, **defaults, **given, 'image_size': (height, width)}
        config = WorldModelConfig(**entries)
        return WorldModel(backend, config)
    except (InvalidInputError, TypeError, ValueError) as error:
        raise CheckpointError(f'config.json of model {name!r}: {error}') from error


def _untrained_backend(device: str, seed: int, precision: str) -> Backend:
    # torch takes seconds to import: not before somebody asks for it.
    from vjepa_planner.backends.torch_backend import TorchBackend
    from vjepa_planner.networks.untrained import make_untrained_networks

    config = {**read_model_config(find_model(DEFAULT_MODEL)), 'name': UNTRAINED}
    networks = make_untrained_networks(config, seed)
    return TorchBackend(networks, device, precision)


def _integrate(state: Float64Array, actions: Float64Array) -> Float64Array:
    """Return the states (S, T + 1, 7) before and after each action."""
    states = np.empty((actions.shape[0], actions.shape[1] + 1, actions.shape[2]))
    states[:, 0] = state
    for step in range(actions.shape[1]):
        states[:, step + 1] = compose_states(states[:, step], actions[:, step])
    return states
