# SPDX-License-Identifier: Apache-2.0
"""From a training run to a model directory that ``load_world_model`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa_planner.networks import ACPredictor, Encoder, MaskedPredictor, save_model_directory
from vjepa_planner.robots import fr3

CHECKPOINTS = {'last': 'state.pt', 'best': 'best.pt'}

RECOMMENDED_PLANNER = {
    'name': 'cem',
    'horizon': 1,
    'num_samples': 48,
    'num_iterations': 3,
    'num_elites': 6,
    'max_translation': 0.075,
    'max_gripper_delta': 1.0,
    'momentum_mean': 0.0,
    'momentum_std': 0.0,
    'momentum_mean_gripper': 0.0,
    'momentum_std_gripper': 0.0,
    'clearance_height': 0.11,
    'alignment': 0.01,
    'num_fits': 3,
}
"""What the simulator's small models are planned with: cheap enough for two CPU cores.

The hand passes over cup and box at ``clearance_height``.
"""

SIMULATOR_SETTINGS: Mapping[str, Any] = {
    'crop': 'square',
    'ee_frame': fr3.TCP_FRAME,
    'planner': RECOMMENDED_PLANNER,
}
"""What goes with a model of the simulator that was trained from scratch."""


def export_model(
    run_directory: Path,
    encoder: Encoder,
    predictor: ACPredictor | MaskedPredictor,
    extra: Mapping[str, Any],
    checkpoint: str = 'last',
) -> int:
    """Write ``model/`` into a run directory from the weights of a finished run.

    Args:
        run_directory: Of the run.
        encoder: Filled with the run's weights, the moving average where there is one; a frozen
            one, of which the run has none, is taken as it is.
        predictor: Filled with the run's weights.
        extra: Further entries of ``config.json``: ``crop``, ``ee_frame``, ``planner``,
            ``training``, ...
        checkpoint: ``'last'`` or ``'best'``.

    Returns:
        The step that the weights are of.
    """
    path = run_directory / CHECKPOINTS[checkpoint]
    state = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    weights = state['modules']
    for name in ('target', 'encoder'):
        if own := _of(weights, name):
            encoder.load_state_dict(own)
            break
    predictor.load_state_dict(_of(weights, 'predictor'))
    height, width = encoder.config.img_size
    size = {'image_size': height if height == width else [height, width]}
    save_model_directory(run_directory / 'model', encoder, predictor, size | dict(extra))
    return int(state['step'])


def _of(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one module, under their names in it."""
    prefix = f'{name}.'
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in weights.items()
        if key.startswith(prefix)
    }
