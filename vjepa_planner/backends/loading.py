# SPDX-License-Identifier: Apache-2.0
"""Networks of a model, which may be spread over two published files."""

from __future__ import annotations

from pathlib import Path

import torch

from vjepa_planner.catalog import entry_for_path
from vjepa_planner.model_files import find_model
from vjepa_planner.networks import load_networks, Networks

# The copy that jepa-wms' configurations name (pretrain_enc_ckpt_key); it is not the one that the
# models that have it are used with by themselves.
_COPY_UNDER_JEPA_WMS = 'encoder'


def load_model_networks(path: Path, dtype: torch.dtype = torch.float32) -> Networks:
    """Read the networks of a model, with the encoder of another one where it has none of its own.

    Args:
        path: A checkpoint or model directory. The published ``vjepa2_ac_droid.pth.tar`` is
            recognised by its name and sees through V-JEPA 2 ViT-g, which must be downloaded, too.
        dtype: Of the matrices; see :func:`load_networks`.

    Raises:
        CheckpointError: It cannot be read, or the model that it needs is not on this machine.
    """
    entry = entry_for_path(path)
    if entry is None or not entry.needs:
        return load_networks(path, dtype)
    (needed,) = entry.needs
    encoder = find_model(needed)
    return load_networks(path, dtype, encoder=encoder, encoder_copy=_COPY_UNDER_JEPA_WMS)
