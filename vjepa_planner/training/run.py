# SPDX-License-Identifier: Apache-2.0
"""What both trainings share: optimiser, schedule, resumable state and a log of numbers."""

from __future__ import annotations

from dataclasses import dataclass
import json
import math
from pathlib import Path
import time

import numpy as np
import torch
from torch import Tensor, nn

from vjepa_planner.errors import InvalidInputError, VjepaPlannerError

_WARMUP_STEPS = 100
_FINAL_RATE = 0.02
_GRADIENT_NORM = 1.0
_SAVE_EVERY = 200


class DivergedError(VjepaPlannerError):
    """The loss is no longer finite; the last saved state is intact."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with a linear warm-up and a cosine decay.

    Attributes:
        steps: Optimiser steps in all.
        learning_rate: Largest learning rate.
        weight_decay: For matrices; none on biases and norms.
        seed: Of batches, augmentation and initial weights.
        bfloat16: Whether matrix products run in bfloat16.
    """

    steps: int
    learning_rate: float = 8e-4
    weight_decay: float = 0.04
    seed: int = 0
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        if self.steps < 1 or self.learning_rate <= 0:
            raise InvalidInputError(
                f'steps and learning_rate must be positive, got {self.steps} and '
                f'{self.learning_rate}.'
            )


class TrainingRun:
    """Steps an optimiser, writes ``log.jsonl``, and resumes from ``state.pt`` to the same numbers."""

    def __init__(self, modules: nn.ModuleDict, config: OptimiserConfig, directory: Path) -> None:
        """Make the optimiser, and load the state of an interrupted run if there is one.

        Args:
            modules: What is trained.
            config: How.
            directory: Where state and log are kept.
        """
        self.modules, self.config, self.directory = modules, config, directory
        directory.mkdir(parents=True, exist_ok=True)
        matrices = [p for p in modules.parameters() if p.ndim > 1]
        vectors = [p for p in modules.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {'params': matrices, 'weight_decay': config.weight_decay},
                {'params': vectors, 'weight_decay': 0.0},
            ],
            betas=(0.9, 0.98),
        )
        self.step = 0
        self.rng = np.random.default_rng(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self._elapsed, self._started = 0.0, time.perf_counter()
        if self._state_file.exists():
            self._load()

    @property
    def seconds(self) -> float:
        """Wall time of training so far, interruptions not counted [s]."""
        return self._elapsed + time.perf_counter() - self._started

    def apply(self, loss: Tensor) -> None:
        """Take one optimiser step, and save the state now and then.

        Raises:
            DivergedError: The loss is NaN or infinite.
        """
        if not torch.isfinite(loss):
            raise DivergedError(
                f'the loss became {loss.item()} at step {self.step}. Lower the learning rate; '
                f'the state of an earlier step is in {self._state_file}.'
            )
        for group in self.optimiser.param_groups:
            group['lr'] = self.config.learning_rate * self._rate()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.modules.parameters(), _GRADIENT_NORM)
        self.optimiser.step()
        self.step += 1
        if self.step % _SAVE_EVERY == 0 or self.step == self.config.steps:
            self._save()

    def log(self, **numbers: float) -> None:
        """Append one line to ``log.jsonl``."""
        line = {'step': self.step, 'seconds': round(self.seconds, 1)}
        line |= {name: round(float(value), 6) for name, value in numbers.items()}
        with (self.directory / 'log.jsonl').open('a') as file:
            file.write(json.dumps(line) + '\n')

    @property
    def _state_file(self) -> Path:
        return self.directory / 'state.pt'

    def _rate(self) -> float:
        """Return the share of the largest learning rate for this step."""
        warmup = min(1.0, (self.step + 1) / _WARMUP_STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))
        return warmup * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)

    def _save(self) -> None:
        state = {
            'modules': self.modules.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.step,
            'seconds': self.seconds,
            'rng': json.dumps(self.rng.bit_generator.state),
            'generator': self.generator.get_state(),
        }
        partial = self._state_file.with_suffix('.partial')
        torch.save(state, partial)
        partial.rename(self._state_file)

    def _load(self) -> None:
        state = torch.load(self._state_file, weights_only=True)
        self.modules.load_state_dict(state['modules'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self._elapsed = state['step'], state['seconds']
        self.rng.bit_generator.state = json.loads(state['rng'])
        self.generator.set_state(state['generator'])
