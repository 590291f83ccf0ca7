# SPDX-License-Identifier: Apache-2.0
"""From a finished training run to a model directory that ``load_world_model`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn, Tensor

from vjepa_planner.networks import (
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    save_model_directory,
)
from vjepa_planner.robots import fr3

RECOMMENDED_PLANNER = {
    'name': 'cem',
    'horizon': 1,
    'num_samples': 64,
    'num_iterations': 4,
    'num_elites': 8,
    'max_translation': 0.075,
    'momentum_mean': 0.0,
    'momentum_std': 0.0,
    'fixed_axes': {'gripper': 0.0},
}
"""What the simulator's small models are planned with: cheap enough for two CPU cores."""


def export_model(
    run_directory: Path,
    encoder_config: EncoderConfig,
    predictor_config: ACPredictorConfig,
    training: Mapping[str, object],
    encoder_weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write ``model/`` into a run directory from its ``state.pt``.

    Args:
        run_directory: Of a finished run.
        encoder_config: Size of the encoder.
        predictor_config: Size of the predictor.
        training: How it was trained; goes into ``config.json`` for the record.
        encoder_weights: Those of a frozen encoder, which are not in the run's state.
    """
    encoder, predictor = Encoder(encoder_config), ACPredictor(predictor_config)
    modules = nn.ModuleDict({'predictor': predictor})
    if encoder_weights is None:
        modules['encoder'] = encoder
    else:
        encoder.load_state_dict(dict(encoder_weights))
    state = torch.load(run_directory / 'state.pt', weights_only=True)
    modules.load_state_dict(state['modules'])
    extra = {
        'image_size': encoder_config.img_size[0],
        'crop': 'square',
        'ee_frame': fr3.TCP_FRAME,
        'planner': RECOMMENDED_PLANNER,
        'training': dict(training),
    }
    save_model_directory(run_directory / 'model', encoder, predictor, extra)
