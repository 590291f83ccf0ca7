# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights, the baseline of everything that was learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vjepa_planner.networks.ac_predictor import ACPredictor
from vjepa_planner.networks.checkpoints import Networks
from vjepa_planner.networks.config import ACPredictorConfig, EncoderConfig
from vjepa_planner.networks.encoder import Encoder


def make_untrained_networks(config: Mapping[str, Any], seed: int) -> Networks:
    """Make encoder and AC predictor as training would start with.

    Args:
        config: ``config.json`` of a model directory: sections ``encoder``, ``ac_predictor``.
        seed: Of the weights. The global random state is left as it is.

    Raises:
        CheckpointError: The sizes are not usable.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(EncoderConfig.from_dict(config['encoder']))
        predictor = ACPredictor(ACPredictorConfig.from_dict(config['ac_predictor']))
    sizes = {'encoder': encoder.config.to_dict(), 'ac_predictor': predictor.config.to_dict()}
    return Networks(encoder.eval(), predictor.eval(), {**config, **sizes})
