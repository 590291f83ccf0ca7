# SPDX-License-Identifier: Apache-2.0
"""The networks of V-JEPA 2, as torch modules, and their files."""

from vjepa_planner.networks.ac_predictor import ACPredictor
from vjepa_planner.networks.checkpoints import (
    are_equal,
    load_networks,
    Networks,
    save_model_directory,
)
from vjepa_planner.networks.config import ACPredictorConfig, EncoderConfig, MaskedPredictorConfig
from vjepa_planner.networks.encoder import Encoder
from vjepa_planner.networks.masked_predictor import MaskedPredictor

__all__ = [
    'ACPredictor',
    'ACPredictorConfig',
    'Encoder',
    'EncoderConfig',
    'MaskedPredictor',
    'MaskedPredictorConfig',
    'Networks',
    'are_equal',
    'load_networks',
    'save_model_directory',
]
