# SPDX-License-Identifier: Apache-2.0
"""The reference backend: PyTorch on a CPU or a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from vjepa_planner.backends.base import (
    Backend,
    check_precision,
    check_rollout_arguments,
    StepArray,
)
from vjepa_planner.backends.chunks import candidate_chunks
from vjepa_planner.backends.loading import load_model_networks
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import ACPredictor, Networks
from vjepa_planner.networks.blocks import set_matrix_dtype
from vjepa_planner.types import FloatArray

# Activations of one chunk [bytes]: on a CPU about what its caches hold, else a part of the memory.
_CHUNK_MEMORY = {'cpu': 32 * 2**20, 'cuda': 4 * 2**30}
_ENCODE_BATCH = 16


class TorchBackend(Backend):
    """Encoder and AC predictor as torch modules.

    Attributes:
        networks: Both modules, on the device. For inference: parameters take no gradients.
    """

    def __init__(
        self, networks: Networks, device: str = 'auto', precision: str = 'float32'
    ) -> None:
        """Move the networks to a device.

        Args:
            networks: Moved, not copied.
            device: ``'auto'``, ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...
            precision: One of ``PRECISIONS``. With half precision the matrices are stored and
                multiplied in it; sums, norms, rotary positions and energies stay in float32.

        Raises:
            InvalidInputError: Device or precision are not available.
        """
        dtype = _matrix_dtype(precision)
        self._device = _resolve_device(device)
        self.name = f'torch {torch.__version__}'
        self.networks = networks
        self.config = networks.config
        self.device = str(self._device)
        for module in (networks.encoder, networks.predictor):
            if module is not None:
                module.to(self._device).requires_grad_(False).eval()
                set_matrix_dtype(module, dtype)

    @classmethod
    def load(cls, path: Path, device: str, precision: str) -> TorchBackend:
        """Load a ``.pt`` file of the official layout or a model directory."""
        # Straight in the precision asked for: ViT-g in float32 would need twice the memory.
        return cls(load_model_networks(path, _matrix_dtype(precision)), device, precision)

    @torch.inference_mode()
    def features(self, clips: FloatArray) -> FloatArray:
        """Return features (B, N, D) of clips (B, 3, T, H, W); see :class:`Backend`."""
        parts = [
            self.networks.encoder(self._to_device(part)).float().cpu()
            for part in np.split(clips, range(_ENCODE_BATCH, len(clips), _ENCODE_BATCH))
        ]
        return np.asarray(torch.cat(parts).numpy())

    @torch.inference_mode()
    def rollout(self, context: FloatArray, states: StepArray, actions: StepArray) -> FloatArray:
        """Return embeddings (S, T, N, D) after each action; see :class:`Backend`."""
        check_rollout_arguments(context, states, actions)
        result = np.empty((*actions.shape[:2], *context.shape), dtype=np.float32)
        for part, steps in self._rollout_in_chunks(context, states, actions):
            for index, step in enumerate(steps):
                result[part, index] = step.cpu().numpy()
        return result

    @torch.inference_mode()
    def rollout_energy(
        self, context: FloatArray, states: StepArray, actions: StepArray, goal: FloatArray
    ) -> FloatArray:
        """Return energies (S,) of the last step of each rollout; see :class:`Backend`."""
        check_rollout_arguments(context, states, actions, goal)
        target = self._to_device(goal)
        energies = torch.empty(len(actions), device=self._device)
        for part, steps in self._rollout_in_chunks(context, states, actions):
            last = deque(steps, maxlen=1).pop()
            energies[part] = (last - target).abs_().mean(dim=(1, 2))
        return np.asarray(energies.cpu().numpy())

    def _rollout_in_chunks(
        self, context: FloatArray, states: StepArray, actions: StepArray
    ) -> Iterator[tuple[slice, Iterator[Tensor]]]:
        """Yield candidates and their predicted steps, some candidates at a time."""
        predictor = self._ac_predictor()
        state, action = self._to_device(states), self._to_device(actions)
        # All candidates start from the same image: it is embedded once.
        embedded = predictor.predictor_embed(self._to_device(context))[None, None]
        memory = _CHUNK_MEMORY.get(self._device.type, _CHUNK_MEMORY['cpu'])
        tokens = context.shape[0] * actions.shape[1]
        sizes = asdict(predictor.config)
        for part in candidate_chunks(len(actions), sizes, tokens, memory, len(actions)):
            yield part, _rollout(predictor, embedded, state[part], action[part])

    def _ac_predictor(self) -> ACPredictor:
        if not isinstance(self.networks.predictor, ACPredictor):
            raise InvalidInputError(
                'this checkpoint has no action-conditioned predictor: it encodes images but '
                'cannot plan. Load a V-JEPA 2-AC checkpoint.'
            )
        return self.networks.predictor

    def _to_device(self, array: FloatArray | StepArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self._device)


def _rollout(
    predictor: ACPredictor, embedded: Tensor, states: Tensor, actions: Tensor
) -> Iterator[Tensor]:
    """Yield the embedding (S, N, D) after each action, from the embedded context (1, 1, N, P)."""
    horizon = actions.shape[1]
    embedded = embedded.expand(len(actions), -1, -1, -1)
    for step in range(1, horizon + 1):
        predicted = _normalised(
            predictor.predict_embedded(
                embedded, actions[:, :step], states[:, :step], last_only=True
            )
        )
        yield predicted[:, 0]
        if step < horizon:
            embedded = torch.cat((embedded, predictor.predictor_embed(predicted)), dim=1)


def _normalised(embedding: Tensor) -> Tensor:
    """Layer norm without affine, epsilon 1e-5, in float32."""
    return F.layer_norm(embedding.float(), embedding.shape[-1:], eps=1e-5)


def _matrix_dtype(precision: str) -> torch.dtype:
    check_precision(precision)
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


def _resolve_device(device: str) -> torch.device:
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        resolved = torch.device(device)
        if resolved.type == 'meta':
            raise ValueError('it computes nothing')
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(
            f'device {device!r} is not available: {reason.rstrip(".")}. Use auto, cpu, or cuda on '
            'a machine with an NVIDIA GPU and a CUDA build of torch.'
        ) from error
    return resolved
