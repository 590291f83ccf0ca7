# SPDX-License-Identifier: Apache-2.0
"""Networks as torch programs: inputs and outputs as in :mod:`vjepa_planner.backends.graphs`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vjepa_planner.backends.graphs import EncoderGraph, PredictorGraph
from vjepa_planner.networks import ACPredictor, Encoder

# Of the example inputs. More than one, or torch.export takes the dimension for a constant.
_BATCH = 2

Shapes = tuple[Any, ...]


class EncoderProgram(nn.Module):
    """``clip`` to ``features``."""

    def __init__(self, encoder: Encoder, graph: EncoderGraph) -> None:
        """Wrap ``encoder``, whose parameters keep their names behind ``network.``."""
        super().__init__()
        self.network = encoder
        self._clip = (encoder.config.in_chans, graph.frames, graph.height, graph.width)

    def forward(self, clip: Tensor) -> Tensor:
        """Return features (B, N, D), float32."""
        features: Tensor = self.network(clip)
        return features.float()

    def example(self) -> tuple[tuple[Tensor, ...], Shapes]:
        """Return inputs of the right shapes, and which dimension of each is open."""
        batch = torch.export.Dim('batch', min=1)
        return (torch.zeros(_BATCH, *self._clip),), ({0: batch},)


class PredictorProgram(nn.Module):
    """One step of a rollout: the next embedding and its energy."""

    def __init__(self, predictor: ACPredictor, graph: PredictorGraph) -> None:
        """Wrap ``predictor``, whose parameters keep their names behind ``network.``."""
        super().__init__()
        self.network = predictor
        self._graph = graph

    def forward(
        self, context: Tensor, actions: Tensor, states: Tensor, goal: Tensor, *predicted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the layer-normalised prediction (S, N, D) and its energy (S,), float32."""
        embed = self.network.predictor_embed
        # All candidates start from the same image: it is embedded once.
        first = embed(context).expand(actions.shape[0], -1, -1)
        embedded = torch.stack((first, *map(embed, predicted)), dim=1)
        last = self.network.predict_embedded(embedded, actions, states, last_only=True)[:, 0]
        embedding = F.layer_norm(last.float(), last.shape[-1:], eps=1e-5)
        return embedding, (embedding - goal).abs().mean(dim=(1, 2))

    def example(self) -> tuple[tuple[Tensor, ...], Shapes]:
        """Return inputs of the right shapes, and which dimension of each is open."""
        config = self.network.config
        tokens = (self._graph.tokens, config.embed_dim)
        steps = (_BATCH, self._graph.step, config.action_embed_dim)
        predicted = [torch.zeros(_BATCH, *tokens) for _ in self._graph.predicted]
        # Each input is a tensor of its own: the exporter takes one object for one input.
        inputs = (*map(torch.zeros, (tokens, steps, steps, tokens)), *predicted)
        candidates = {0: torch.export.Dim('candidates', min=1)}
        open_predicted = [(candidates,) * len(predicted)] if predicted else []
        return inputs, (None, candidates, candidates, None, *open_predicted)
