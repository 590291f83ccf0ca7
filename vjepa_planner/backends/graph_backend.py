# SPDX-License-Identifier: Apache-2.0
"""What engines that execute exported graphs have in common: rollouts, chunks, shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import numpy as np

from vjepa_planner.backends.base import Backend, check_rollout_arguments, StepArray
from vjepa_planner.backends.chunks import candidate_chunks, filled_up
from vjepa_planner.backends.graphs import EncoderGraph, Graph, PredictorGraph
from vjepa_planner.backends.model_graphs import ModelGraphs
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import FloatArray

Value = TypeVar('Value')
"""An array where the engine keeps it, on the host or on a GPU."""

_MOST_IMAGES = 16
"""At once, where the engine takes any number."""


class GraphSession(ABC, Generic[Value]):
    """One graph, ready to be executed."""

    @abstractmethod
    def upload(self, array: FloatArray) -> Value:
        """Bring a float32 array to where the engine computes."""

    @abstractmethod
    def run(self, inputs: Mapping[str, Value], outputs: tuple[str, ...]) -> tuple[Value, ...]:
        """Execute.

        Args:
            inputs: By name.
            outputs: Names of those that are wanted.

        Returns:
            The outputs, in the order of their names. They stay valid until they are dropped.
        """

    @abstractmethod
    def download(self, value: Value) -> FloatArray:
        """Bring an output to the host."""


class GraphBackend(Backend, Generic[Value]):
    """Executes the graphs of a model, of each one that is needed the first time it is needed.

    Subclasses say how a graph becomes a session, and what fits into the memory of the device.

    Attributes:
        chunk_memory: For the activations of one chunk of candidates [bytes].
        image_batches: Sizes of batch that the engine has for images, ascending; smaller batches
            are filled up. Empty where it takes any size.
        candidate_batches: Likewise for candidates.
    """

    chunk_memory = 4 * 2**30
    image_batches: tuple[int, ...] = ()
    candidate_batches: tuple[int, ...] = ()

    def __init__(self, graphs: ModelGraphs) -> None:
        """Execute the graphs of this model."""
        self._graphs = graphs
        self._sessions: dict[Graph, GraphSession[Value]] = {}
        self.config = graphs.config

    @abstractmethod
    def open_session(self, graph: Graph) -> GraphSession[Value]:
        """Prepare a graph for execution.

        Raises:
            CheckpointError: Its file cannot be used.
            InvalidInputError: The model or the device cannot execute it.
        """

    def session(self, graph: Graph) -> GraphSession[Value]:
        """Return the session of a graph, opened once."""
        if graph not in self._sessions:
            self._sessions[graph] = self.open_session(graph)
        return self._sessions[graph]

    def features(self, clips: FloatArray) -> FloatArray:
        """Return features (B, N, D) of clips (B, 3, T, H, W); see :class:`Backend`."""
        session = self.session(self._encoder_graph(clips))
        most = max(self.image_batches, default=_MOST_IMAGES)
        parts = []
        for part in np.split(clips, range(most, len(clips), most)):
            clip = session.upload(_as_float32(filled_up(part, self.image_batches)))
            (features,) = session.run({'clip': clip}, ('features',))
            parts.append(session.download(features)[: len(part)])
        return np.concatenate(parts)

    def rollout(self, context: FloatArray, states: StepArray, actions: StepArray) -> FloatArray:
        """Return embeddings (S, T, N, D) after each action; see :class:`Backend`."""
        check_rollout_arguments(context, states, actions)
        result = np.empty((*actions.shape[:2], *context.shape), dtype=np.float32)
        for part, step, session, embedding, _ in self._rollout(context, states, actions, context):
            rows = result[part, step - 1]
            rows[:] = session.download(embedding)[: len(rows)]
        return result

    def rollout_energy(
        self, context: FloatArray, states: StepArray, actions: StepArray, goal: FloatArray
    ) -> FloatArray:
        """Return energies (S,) of the last step of each rollout; see :class:`Backend`."""
        check_rollout_arguments(context, states, actions, goal)
        energies = np.empty(len(actions), dtype=np.float32)
        for part, step, session, _, energy in self._rollout(context, states, actions, goal):
            if step == actions.shape[1]:
                rows = energies[part]
                rows[:] = session.download(energy)[: len(rows)]
        return energies

    def _rollout(
        self, context: FloatArray, states: StepArray, actions: StepArray, goal: FloatArray
    ) -> Iterator[tuple[slice, int, GraphSession[Value], Value, Value]]:
        """Yield candidates, step, its session, embedding and energy, some candidates at a time."""
        tokens, horizon = len(context), actions.shape[1]
        sessions = {
            step: self.session(PredictorGraph(step=step, tokens=tokens))
            for step in range(1, horizon + 1)
        }
        shared = {
            name: sessions[1].upload(_as_float32(array))
            for name, array in (('context', context), ('goal', goal))
        }
        batches = self.candidate_batches
        for part in candidate_chunks(
            len(actions),
            self.config['ac_predictor'],
            tokens * horizon,
            self.chunk_memory,
            max(batches, default=len(actions)),
        ):
            action, state = (filled_up(array[part], batches) for array in (actions, states))
            inputs = dict(shared)
            for step, session in sessions.items():
                inputs['actions'] = session.upload(_as_float32(action[:, :step]))
                inputs['states'] = session.upload(_as_float32(state[:, :step]))
                embedding, energy = session.run(inputs, ('embedding', 'energy'))
                yield part, step, session, embedding, energy
                inputs[f'predicted_{step}'] = embedding

    def _encoder_graph(self, clips: FloatArray) -> EncoderGraph:
        encoder = self.config['encoder']
        if np.ndim(clips) != 5 or clips.shape[1] != encoder.get('in_chans', 3) or not clips.size:
            raise InvalidInputError(
                'clips must have shape (batch, channels, frames, height, width), none of them 0; '
                f'got {np.shape(clips)}.'
            )
        frames, height, width = clips.shape[2:]
        return EncoderGraph(frames=frames, height=height, width=width)


def _as_float32(array: FloatArray | StepArray) -> FloatArray:
    return np.ascontiguousarray(array, dtype=np.float32)
