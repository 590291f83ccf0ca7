# SPDX-License-Identifier: Apache-2.0
"""Model-predictive control: look, search the actions that lead to the goal, act once, look again.

This module does the looking and the searching; whoever calls it acts and calls again.
"""

from __future__ import annotations

from collections import OrderedDict
import hashlib
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vjepa_planner.approach import is_closed, plan_from_above
from vjepa_planner.types import ACTION_DIM, FloatArray, Goal, Image, Observation, Plan

if TYPE_CHECKING:
    from vjepa_planner.planners import Planner
    from vjepa_planner.world_model import WorldModel

GOAL_CACHE_SIZE = 16


class ModelPredictiveController:
    """Plans from an observation towards a goal. One thread at a time."""

    def __init__(self, world_model: WorldModel, planner: Planner, seed: int = 0) -> None:
        """Plan with ``planner`` on the predictions of ``world_model``.

        Args:
            world_model: Encodes images and predicts embeddings.
            planner: Searches the action sequence.
            seed: Of the planner's randomness. Equal seeds and inputs give equal plans, plan by
                plan in the order of the calls.
        """
        self.world_model = world_model
        self.planner = planner
        self._rng = np.random.default_rng(seed)
        self._goal_embeddings: OrderedDict[bytes, FloatArray] = OrderedDict()
        self._pursued: tuple[str, bytes] | None = None
        self._began_closed = False

    def plan(self, observation: Observation, goal: Goal) -> Plan:
        """Search the actions whose predicted outcome is closest to ``goal``.

        The goal may be another one in every call; the embeddings of recent goal images are kept,
        so that going back to one costs nothing.

        Raises:
            InvalidInputError: An embedding does not have the shape of this world model's.
            PlanningError: The world model gives no usable energies.
        """
        start = perf_counter()
        context = self._embedding_of_observation(observation)
        goal_embedding = self._embedding_of_goal(goal)

        target = goal_embedding
        if self.planner.config.clearance_height:
            # Millimetres and fingers count there, and differ by less than the predictor's errors.
            target = goal_embedding - self._error_of_staying(context, observation)

        def evaluate(actions: npt.NDArray[np.float64]) -> FloatArray:
            return self.world_model.candidate_energies(context, observation.state, actions, target)

        self._notice_new_goal(goal, goal_embedding, observation)
        result = plan_from_above(
            self.planner, evaluate, observation.state, self._rng, self._began_closed
        )
        return Plan(
            actions=result.actions,
            energy=result.energy,
            current_energy=float(self.world_model.energy(context[None], goal_embedding)[0]),
            evaluations=result.evaluations,
            duration=perf_counter() - start,
            stamp=observation.stamp,
            goal_id=goal.goal_id,
            iteration_energies=result.iteration_energies,
        )

    def _notice_new_goal(
        self, goal: Goal, embedding: FloatArray, observation: Observation
    ) -> None:
        """Remember how the fingers were at the first look towards a goal."""
        pursued = goal.goal_id, _digest(embedding)
        if pursued != self._pursued:
            self._pursued = pursued
            self._began_closed = is_closed(float(observation.state[-1]))

    def _error_of_staying(self, context: FloatArray, observation: Observation) -> FloatArray:
        """Return what the prediction for no motion lacks of the present embedding.

        It is added to every prediction, or, what is the same for an energy, taken from the goal:
        the disturbance estimate of offset-free model-predictive control (Pannocchia and Rawlings,
        AIChE Journal 49(2), 2003), with a constant output disturbance.
        """
        stay = np.zeros((1, self.planner.config.horizon, ACTION_DIM))
        predicted, _ = self.world_model.rollout(context, observation.state, stay)
        return np.asarray(context - predicted[0, -1])

    def _embedding_of_observation(self, observation: Observation) -> FloatArray:
        if observation.embedding is not None:
            return observation.embedding
        assert observation.image is not None, 'Observation has an image or an embedding'
        return self._encode(observation.image)

    def _embedding_of_goal(self, goal: Goal) -> FloatArray:
        if goal.embedding is not None:
            return goal.embedding
        assert goal.image is not None, 'Goal has an image or an embedding'
        # By content: a goal id may come to name another image, and a buffer may be overwritten.
        key = _digest(goal.image)
        if key not in self._goal_embeddings:
            self._goal_embeddings[key] = self._encode(goal.image)
        self._goal_embeddings.move_to_end(key)
        if len(self._goal_embeddings) > GOAL_CACHE_SIZE:
            self._goal_embeddings.popitem(last=False)
        return self._goal_embeddings[key]

    def _encode(self, image: Image) -> FloatArray:
        embedding: FloatArray = self.world_model.encode(image[None])[0]
        return embedding


def _digest(array: Image | FloatArray) -> bytes:
    content = hashlib.blake2b(repr(array.shape).encode())
    content.update(np.ascontiguousarray(array).data)
    return content.digest()
