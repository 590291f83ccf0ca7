# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy method (CEM), as V-JEPA 2-AC plans with it.

Minimise over action sequences ``a`` the energy ``E(a)``. Keep a normal proposal, independent per
time step and axis, and repeat:

1. *sample* S candidates from N(mean, std^2);
2. *clip* each axis to its limit, then apply held axes and a forced closing of the gripper;
3. *evaluate* E of every candidate;
4. take the *elites*, the candidates of lowest energy;
5. *refit*: ``mean <- (1 - m) * mean(elites) + m * mean``, and ``std`` likewise.

The result is the final mean, not the best candidate; gripper changes inside the dead band become
zero. For given noise the numbers are those of the planner released with V-JEPA 2
(facebookresearch/vjepa2, ``notebooks/utils/mpc_utils.py``; arXiv 2506.09985).

On request (``num_fits``, not in the paper) fits of a quadratic then move the first translation to
where the energy is lowest nearby; see :mod:`vjepa_planner.planners.response_surface`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.planners.base import (
    actions_from_search,
    Array,
    checked_energies,
    Evaluate,
    final_energy,
    GRIPPER,
    Planner,
    PlannerConfig,
    PlannerResult,
    PlanningError,
    Proposal,
    SEARCH_AXES,
    SEARCH_DIM,
    setting,
    TRANSLATION,
)
from vjepa_planner.planners.response_surface import number_of_coefficients, step_to_minimum

_NARROWER = 0.75  # width of each fit after the first, as a share of the one before


@dataclass(frozen=True, kw_only=True)
class CEMConfig(PlannerConfig):
    """Settings of :class:`CrossEntropyMethod`, beside those of every planner.

    The defaults are the robot experiments of the paper (horizon 1, 800 samples, 10 iterations,
    10 elites, 0.075 m); the momenta, which it does not give, are those of the released code.
    A momentum is the share of the old value that is kept: 0 forgets it, 1 never learns.

    Attributes:
        num_samples: Candidates per iteration (released code: ``samples``).
        num_iterations: Rounds of sampling and refitting (``cem_steps``).
        num_elites: Candidates of lowest energy that refit the proposal (``topk``).
        initial_std_gripper: Standard deviation of the gripper axis at first. Along the
            translation axes it is ``max_translation`` (``maxnorm``).
        gripper_deadband: Planned gripper changes smaller than this become zero.
        momentum_mean: Momentum of the mean of the translation axes.
        momentum_std: Momentum of the standard deviation of the translation axes.
        momentum_mean_gripper: Momentum of the mean of the gripper axis.
        momentum_std_gripper: Momentum of the standard deviation of the gripper axis.
        close_gripper_from: First step, counted from 0, from which on every candidate closes the
            gripper fully; None leaves it to the search (``close_gripper``).
        num_fits: Fits of a quadratic, of ``num_samples`` candidates each, after the iterations.
        fit_width: Standard deviation of the candidates of the first fit along each axis [m].
    """

    num_samples: int = setting(800, 'Candidates per iteration', minimum=2, maximum=1_000_000)
    num_iterations: int = setting(10, 'Rounds of sampling and refitting', minimum=1, maximum=1000)
    num_elites: int = setting(10, 'Best candidates kept for the refit', minimum=2, maximum=100_000)
    initial_std_gripper: float = setting(
        1.0, 'Initial standard deviation of the change of closedness', minimum=0.0, maximum=10.0
    )
    gripper_deadband: float = setting(
        0.25, 'Planned changes of closedness below this become zero', minimum=0.0, maximum=1.0
    )
    momentum_mean: float = setting(
        0.15, 'Share of the old mean kept, translation', minimum=0.0, maximum=1.0
    )
    momentum_std: float = setting(
        0.15, 'Share of the old standard deviation kept, translation', minimum=0.0, maximum=1.0
    )
    momentum_mean_gripper: float = setting(
        0.15, 'Share of the old mean kept, gripper', minimum=0.0, maximum=1.0
    )
    momentum_std_gripper: float = setting(
        0.15, 'Share of the old standard deviation kept, gripper', minimum=0.0, maximum=1.0
    )
    close_gripper_from: int | None = setting(
        None, 'First step from which on the gripper is closed; none: searched', minimum=0
    )
    num_fits: int = setting(
        0, 'Fits of a quadratic after the iterations; 0: as published', minimum=0, maximum=100
    )
    fit_width: float = setting(
        0.012, 'Spread of the candidates of the first fit [m]', minimum=0.0001, maximum=1.0
    )

    def __post_init__(self) -> None:
        """Check the values, each and against each other."""
        super().__post_init__()
        if self.num_elites > self.num_samples:
            raise InvalidInputError(
                f'num_elites must not exceed num_samples = {self.num_samples}, '
                f'got {self.num_elites}.'
            )
        needed = number_of_coefficients(len(TRANSLATION))
        if self.num_fits and self.num_samples < 2 * needed:
            raise InvalidInputError(
                f'num_samples must be at least {2 * needed} with num_fits = {self.num_fits}: a '
                f'quadratic has {needed} coefficients. Got {self.num_samples}.'
            )


class CrossEntropyMethod(Planner):
    """The planner of V-JEPA 2-AC; see the module for the algorithm."""

    config: CEMConfig

    def __init__(self, config: CEMConfig) -> None:
        """Use the settings ``config``."""
        self.config = config
        self._momentum_mean = _per_axis(config.momentum_mean, config.momentum_mean_gripper)
        self._momentum_std = _per_axis(config.momentum_std, config.momentum_std_gripper)
        self._fixed = {SEARCH_AXES.index(n): value for n, value in config.fixed_axes.items()}

    def plan(self, evaluate: Evaluate, rng: np.random.Generator) -> PlannerResult:
        """Search one action sequence; see :meth:`Planner.plan`."""
        shape = (self.config.num_samples, self.config.horizon, SEARCH_DIM)
        rounds = range(self.config.num_iterations)
        found = self.plan_with_noise(evaluate, (rng.standard_normal(shape) for _ in rounds))
        return self._fitted(evaluate, found, rng) if self.config.num_fits else found

    def plan_with_noise(self, evaluate: Evaluate, noise: Iterable[Array]) -> PlannerResult:
        """Search one action sequence with the noise given.

        Args:
            evaluate: Maps actions (S, T, 7) to energies (S,).
            noise: Standard normal numbers of shape (S, T, 4), one array per iteration. The
                released code draws (S, 4) numbers step after step: stack those along axis 1.

        Raises:
            InvalidInputError: A noise array has another shape.
            PlanningError: Fewer than two candidates of an iteration have a finite energy.
        """
        proposal = self.initial_proposal()
        lowest_energies: list[float] = []
        evaluations = 0
        for standard_normal in noise:
            candidates = self.sample(proposal, standard_normal)
            energies = checked_energies(evaluate, actions_from_search(candidates))
            proposal = self.refit(proposal, candidates[self.elite_indices(energies)])
            lowest_energies.append(float(energies.min()))
            evaluations += len(candidates)
        actions = self.actions_from_proposal(proposal)
        return PlannerResult(
            actions=actions,
            energy=final_energy(evaluate, actions),
            evaluations=evaluations + 1,
            iteration_energies=tuple(lowest_energies),
        )

    def _fitted(
        self, evaluate: Evaluate, found: PlannerResult, rng: np.random.Generator
    ) -> PlannerResult:
        """Return ``found`` with the first translation moved to less energy, or as it is."""
        config, actions = self.config, found.actions.copy()
        free = [axis for axis in TRANSLATION if axis not in self._fixed]

        def at(places: Array) -> Array:
            candidates = np.repeat(actions[None], len(places), axis=0)
            candidates[:, 0, free] = places
            return checked_energies(evaluate, candidates)

        for fit in range(config.num_fits):
            width = config.fit_width * _NARROWER**fit
            actions[0, free] = step_to_minimum(
                at, actions[0, free], width, config.num_samples, config.max_translation, rng
            )
        energy = final_energy(evaluate, actions)
        best = replace(found, actions=actions, energy=energy) if energy < found.energy else found
        return replace(
            best, evaluations=found.evaluations + config.num_fits * config.num_samples + 1
        )

    def initial_proposal(self) -> Proposal:
        """Return the proposal of the first iteration: no motion, as wide as the limits."""
        mean = np.zeros((self.config.horizon, SEARCH_DIM))
        for axis, value in self._fixed.items():
            mean[:, axis] = value
        std = _per_axis(self.config.max_translation, self.config.initial_std_gripper)
        return Proposal(mean, np.tile(std, (self.config.horizon, 1)))

    def sample(self, proposal: Proposal, standard_normal: Array) -> Array:
        """Return candidates (S, T, 4) for ``standard_normal`` (S, T, 4), clipped to the limits."""
        expected = (self.config.num_samples, *proposal.mean.shape)
        if standard_normal.shape != expected:
            raise InvalidInputError(
                f'the noise of one iteration must have shape (num_samples, horizon, 4) = '
                f'{expected}, got {standard_normal.shape}.'
            )
        limits = self.config.limits
        candidates = np.clip(proposal.mean + proposal.std * standard_normal, -limits, limits)
        for axis, value in self._fixed.items():
            candidates[..., axis] = value
        if self.config.close_gripper_from is not None:
            candidates[:, self.config.close_gripper_from :, GRIPPER] = 1.0
        return candidates

    def elite_indices(self, energies: Array) -> npt.NDArray[np.intp]:
        """Return the indices of the lowest finite ``energies`` (S,), best first."""
        num_finite = int(np.isfinite(energies).sum())
        if num_finite < 2:
            raise PlanningError(
                f'{num_finite} of {len(energies)} candidates have a finite energy, at least 2 are '
                'needed. Check the embeddings, the state and the weights for NaN or infinity.'
            )
        return np.argsort(energies, kind='stable')[: min(self.config.num_elites, num_finite)]

    def refit(self, proposal: Proposal, elites: Array) -> Proposal:
        """Return ``proposal`` moved towards the mean and the unbiased std of ``elites``."""
        return Proposal(
            mean=_blend(proposal.mean, elites.mean(axis=0), self._momentum_mean),
            std=_blend(proposal.std, elites.std(axis=0, ddof=1), self._momentum_std),
        )

    def actions_from_proposal(self, proposal: Proposal) -> Array:
        """Return the actions (T, 7) to execute: the mean, with the gripper's dead band."""
        planned = proposal.mean.copy()
        inside_deadband = np.abs(planned[:, GRIPPER]) < self.config.gripper_deadband
        planned[inside_deadband, GRIPPER] = 0.0
        return actions_from_search(planned)


def _per_axis(translation: float, gripper: float) -> Array:
    return np.array([translation] * 3 + [gripper])


def _blend(old: Array, new: Array, momentum: Array) -> Array:
    return momentum * old + (1.0 - momentum) * new
