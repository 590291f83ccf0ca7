# SPDX-License-Identifier: Apache-2.0
"""PyTorch with its compiler: fused kernels, after a wait at the first call of each kind.

The blocks are compiled, one after the other from the same code, which takes seconds where the
network as a whole would take minutes. On a CPU this needs a C++ compiler.
"""

from __future__ import annotations

import torch

from vjepa_planner.backends.torch_backend import TorchBackend
from vjepa_planner.networks import Networks
from vjepa_planner.networks.blocks import Block


class TorchCompileBackend(TorchBackend):
    """Encoder and AC predictor as torch modules whose blocks are compiled."""

    def __init__(
        self, networks: Networks, device: str = 'auto', precision: str = 'float32'
    ) -> None:
        """Move the networks to a device and mark their blocks for compilation.

        Args: as for :class:`TorchBackend`.
        """
        super().__init__(networks, device, precision)
        self.name = f'torch {torch.__version__}, compiled'
        for network in (networks.encoder, networks.predictor):
            for module in network.modules() if network is not None else ():
                if isinstance(module, Block):
                    # Any number of candidates, without compiling for each.
                    module.compile(dynamic=True)
