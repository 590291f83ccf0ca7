# SPDX-License-Identifier: Apache-2.0
"""The graphs that engines execute: what each takes and what it gives.

A graph is one network at one shape. Everything that depends on the shape, rotary tables and masks,
is a constant in it; only the number of images and of candidates is open.

=============  ================================================================================
encoder        ``clip`` (B, 3, T, H, W) → ``features`` (B, N, D)
predictor      step k of a rollout: ``context`` (N, D), the k - 1 predictions before it
               ``predicted_1`` ... (S, N, D), ``actions`` (S, k, 7), ``states`` (S, k, 7),
               ``goal`` (N, D) → ``embedding`` (S, N, D) and its ``energy`` (S,)
=============  ================================================================================

Inputs and outputs are float32 whatever the precision inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vjepa_planner.model_directory import ENCODER_FILE, PREDICTOR_FILE


@dataclass(frozen=True, kw_only=True)
class EncoderGraph:
    """An encoder at one shape of clips.

    Attributes:
        frames: Of a clip.
        height: Of a clip [px].
        width: Of a clip [px].
    """

    frames: int
    height: int
    width: int

    weights_file: ClassVar[str] = ENCODER_FILE
    outputs: ClassVar[tuple[str, ...]] = ('features',)
    inputs: ClassVar[tuple[str, ...]] = ('clip',)
    batched_inputs: ClassVar[tuple[str, ...]] = ('clip',)

    @property
    def name(self) -> str:
        """Name of the graph, from which that of its file is made."""
        return f'encoder-{self.frames}x{self.height}x{self.width}'


@dataclass(frozen=True, kw_only=True)
class PredictorGraph:
    """An AC predictor at one step of a rollout.

    Attributes:
        step: 1 for the first.
        tokens: Of one image.
    """

    step: int
    tokens: int

    weights_file: ClassVar[str] = PREDICTOR_FILE
    outputs: ClassVar[tuple[str, ...]] = ('embedding', 'energy')

    @property
    def name(self) -> str:
        """Name of the graph, from which that of its file is made."""
        return f'predictor-{self.step}x{self.tokens}'

    @property
    def predicted(self) -> tuple[str, ...]:
        """Names of the inputs that are embeddings from the graphs of earlier steps."""
        return tuple(f'predicted_{step}' for step in range(1, self.step))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs, in order."""
        return ('context', 'actions', 'states', 'goal', *self.predicted)

    @property
    def batched_inputs(self) -> tuple[str, ...]:
        """Names of the inputs whose first dimension counts candidates."""
        return ('actions', 'states', *self.predicted)


Graph = EncoderGraph | PredictorGraph


def planning_graphs(config: Mapping[str, Any], horizon: int) -> list[Graph]:
    """Return the graphs that planning needs: for still images, and for each step to the horizon.

    Args:
        config: ``config.json`` of the model.
        horizon: Longest action sequence that will be planned; no predictor where there is none.
    """
    encoder = config['encoder']
    size = config.get('image_size', encoder['img_size'])
    height, width = (size, size) if isinstance(size, int) else size
    graphs: list[Graph] = [
        EncoderGraph(frames=encoder['tubelet_size'], height=height, width=width)
    ]
    if 'ac_predictor' in config:
        tokens = (height // encoder['patch_size']) * (width // encoder['patch_size'])
        graphs += [PredictorGraph(step=k, tokens=tokens) for k in range(1, horizon + 1)]
    return graphs
