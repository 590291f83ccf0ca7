# SPDX-License-Identifier: Apache-2.0
"""What both trainings share: optimiser, schedule, resumable state and a log of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor

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
        batch_size: Samples of a batch.
        learning_rate: Largest learning rate.
        weight_decay: For matrices; none on biases and norms.
        seed: Of batches, augmentation and initial weights.
        bfloat16: Whether matrix products run in bfloat16.
    """

    steps: int
    batch_size: int
    learning_rate: float = 8e-4
    weight_decay: float = 0.04
    seed: int = 0
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        if self.steps < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                'steps, batch_size and learning_rate must be positive, got '
                f'{self.steps}, {self.batch_size} and {self.learning_rate}.'
            )


class TrainingRun:
    """Steps an optimiser, logs to ``log.jsonl``, resumes from ``state.pt`` to the same numbers."""

    def __init__(self, modules: nn.ModuleDict, config: OptimiserConfig, directory: Path) -> None:
        """Make the optimiser, and load the state of an interrupted run if there is one.

        Args:
            modules: What is trained.
            config: How.
            directory: Where state and log are kept.

        Raises:
            InvalidInputError: The directory holds a run with other settings.
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
        self._forget_log_after_step()

    @property
    def seconds(self) -> float:
        """Wall time of training so far, interruptions not counted [s]."""
        return self._elapsed + time.perf_counter() - self._started

    def apply(self, loss: Tensor) -> None:
        """Take one optimiser step, and save the state now and then.

        Raises:
            DivergedError: The loss or its gradient is NaN or infinite.
        """
        self._check_finite('loss', loss)
        for group in self.optimiser.param_groups:
            group['lr'] = self.config.learning_rate * self._rate()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.modules.parameters(), _GRADIENT_NORM)
        self._check_finite('gradient', norm)
        self.optimiser.step()
        self.step += 1
        if self.step % _SAVE_EVERY == 0 or self.step == self.config.steps:
            self._save()

    def log(self, **numbers: float) -> None:
        """Append one line to ``log.jsonl``."""
        line = {'step': self.step, 'seconds': round(self.seconds, 1)}
        line |= {name: round(float(value), 6) for name, value in numbers.items()}
        with self._log_file.open('a') as file:
            file.write(json.dumps(line) + '\n')

    @property
    def _state_file(self) -> Path:
        return self.directory / 'state.pt'

    @property
    def _log_file(self) -> Path:
        return self.directory / 'log.jsonl'

    def _check_finite(self, name: str, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise DivergedError(
                f'the {name} became {value.item()} at step {self.step}. Start again in another '
                f'directory with a lower learning rate than {self.config.learning_rate:g}; what '
                f'was saved in {self.directory} is intact.'
            )

    def _rate(self) -> float:
        """Return the share of the largest learning rate for this step."""
        warmup = min(1.0, (self.step + 1) / _WARMUP_STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))
        return warmup * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)

    def _save(self) -> None:
        state = {
            'modules': self.modules.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'config': asdict(self.config),
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
        self._check_same_run(state)
        self.modules.load_state_dict(state['modules'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self._elapsed = state['step'], state['seconds']
        self.rng.bit_generator.state = json.loads(state['rng'])
        self.generator.set_state(state['generator'])

    def _check_same_run(self, state: dict[str, Any]) -> None:
        """Refuse to go on with a run of other settings or sizes."""
        config, sizes = asdict(self.config), _sizes(self.modules.state_dict())
        before, sizes_before = state.get('config', config), _sizes(state['modules'])
        other = {name: value for name, value in config.items() if before.get(name) != value}
        if other or sizes != sizes_before:
            what = ', '.join(f'{name} {before.get(name)}, now {other[name]}' for name in other)
            raise InvalidInputError(
                f'{self.directory} holds a run with other settings '
                f'({what or "sizes of the networks"}). Give the same ones to go on with it, or '
                'another directory.'
            )

    def _forget_log_after_step(self) -> None:
        """Drop what was logged after the state was saved: those steps are taken again."""
        if self._log_file.exists():
            lines = self._log_file.read_text().splitlines(keepends=True)
            kept = (line for line in lines if json.loads(line)['step'] <= self.step)
            self._log_file.write_text(''.join(kept))


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
