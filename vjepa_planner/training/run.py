# SPDX-License-Identifier: Apache-2.0
"""A training run on disk: an optimiser, a log, and a state from which it goes on exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
import json
import math
import os
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor
from torch.utils.checkpoint import checkpoint

from vjepa_planner.errors import InvalidInputError, UnknownNameError, VjepaPlannerError
from vjepa_planner.networks.blocks import Block
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.schedules import SCHEDULES

LogLine = dict[str, Any]


class DivergedError(VjepaPlannerError):
    """The loss is no longer finite; the last saved state is intact."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with a schedule.

    Attributes:
        steps: Optimiser steps in all.
        batch_size: Samples of a batch, of all processes together.
        learning_rate: Largest learning rate.
        schedule: One of ``SCHEDULES``.
        second_moment: Decay of Adam's average of squared gradients.
        weight_decay: For matrices; none on biases and norms.
        gradient_norm: Longer gradients are shortened to this.
        seed: Of batches, masks, augmentation and initial weights.
        bfloat16: Whether matrix products run in bfloat16.
        recompute: Whether blocks compute their inner activations again for the gradient instead
            of keeping them: a third slower, in a fraction of the memory.
    """

    steps: int
    batch_size: int
    learning_rate: float
    schedule: str = 'vjepa2'
    second_moment: float = 0.999
    weight_decay: float = 0.04
    gradient_norm: float = 1.0
    seed: int = 0
    bfloat16: bool = True
    recompute: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.steps < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                'steps, batch_size and learning_rate must be positive, got '
                f'{self.steps}, {self.batch_size} and {self.learning_rate}.'
            )
        if not self.gradient_norm > 0:
            raise InvalidInputError(f'gradient_norm must be positive, got {self.gradient_norm}.')
        if self.schedule not in SCHEDULES:
            raise UnknownNameError('schedule', self.schedule, tuple(SCHEDULES))


def autocast(config: OptimiserConfig, module: nn.Module, device: torch.device) -> torch.autocast:
    """Return the precision for a network: bfloat16 if it is so configured, float32 in evaluation.

    Args:
        config: Of the training.
        module: In training or in evaluation mode.
        device: Of its inputs.
    """
    enabled = config.bfloat16 and module.training
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


class TrainingRun:
    """Steps an optimiser, logs to ``log.jsonl``, resumes from ``state.pt`` to the same numbers.

    Attributes:
        step: Steps taken.
        rng: Source of batches, the same in every process.
        generator: Source of augmentation and masks, likewise.
        best_score: Lowest score so far, of ``best.pt``.
    """

    def __init__(
        self,
        modules: nn.Module,
        config: OptimiserConfig,
        directory: Path,
        processes: Processes = Processes(),  # noqa: B008 - it is frozen
    ) -> None:
        """Make the optimiser, and load the state of an interrupted run if there is one.

        Args:
            modules: What is trained, and whatever else belongs to its state.
            config: How.
            directory: Where state and log are kept.
            processes: Those that train together.

        Raises:
            InvalidInputError: The directory holds a run with other settings, or the batch does
                not split over the processes.
        """
        self.modules, self.config, self.directory = modules, config, directory
        self.processes = processes
        processes.part(config.batch_size)
        directory.mkdir(parents=True, exist_ok=True)
        if config.recompute:
            recompute_activations(modules)
        self._parameters = [p for p in modules.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(self._parameters, config)
        self.step = 0
        self.rng = np.random.default_rng(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.best_score = math.inf
        self._elapsed, self._started = 0.0, time.perf_counter()
        if self._state_file.exists():
            self._load()
        processes.wait()  # every process has read what the main one is about to change
        if processes.is_main:
            self._forget_log_after_step()

    @property
    def seconds(self) -> float:
        """Wall time of training so far, interruptions not counted [s]."""
        return self._elapsed + time.perf_counter() - self._started

    def apply(self, loss: Tensor) -> dict[str, float]:
        """Take one optimiser step.

        Returns:
            ``learning_rate`` and ``gradient_norm`` (before it was shortened).

        Raises:
            DivergedError: The loss or its gradient is NaN or infinite.
        """
        self._check_finite('loss', loss)
        config = self.config
        rate = config.learning_rate * SCHEDULES[config.schedule](self.step + 1, config.steps)
        for group in self.optimiser.param_groups:
            group['lr'] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, config.gradient_norm)
        self._check_finite('gradient', norm)
        self.optimiser.step()
        self.step += 1
        return {'learning_rate': rate, 'gradient_norm': norm.item()}

    def log(self, **numbers: float | str) -> None:
        """Append one line to ``log.jsonl``."""
        if not self.processes.is_main:
            return
        line: LogLine = {'step': self.step, 'seconds': round(self.seconds, 1)}
        line |= {name: _short(value) for name, value in numbers.items()}
        with self._log_file.open('a') as file:
            file.write(json.dumps(line) + '\n')

    def logged(self) -> list[LogLine]:
        """Return the lines of ``log.jsonl``."""
        return read_log(self._log_file)

    def save(self) -> None:
        """Write ``state.pt``; it is always complete, whenever the process is killed."""
        state = {
            'modules': self.modules.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'config': asdict(self.config),
            'step': self.step,
            'seconds': self.seconds,
            'rng': json.dumps(self.rng.bit_generator.state),
            'generator': self.generator.get_state(),
            'best_score': self.best_score,
        }
        if self.processes.is_main:
            _write(self._state_file, state)

    def save_if_best(self, score: float) -> None:
        """Write the weights to ``best.pt`` if no score, lower is better, was below this one."""
        if score < self.best_score:
            self.best_score = score
            content = {'modules': self.modules.state_dict(), 'step': self.step, 'score': score}
            _write(self.directory / 'best.pt', content)

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

    def _load(self) -> None:
        state = torch.load(self._state_file, map_location='cpu', weights_only=True)
        self._check_same_run(state)
        self.modules.load_state_dict(state['modules'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self._elapsed = state['step'], state['seconds']
        self.rng.bit_generator.state = json.loads(state['rng'])
        self.generator.set_state(state['generator'])
        self.best_score = state['best_score']

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
            kept = [line for line in self.logged() if line['step'] <= self.step and self.step]
            self._log_file.write_text(''.join(json.dumps(line) + '\n' for line in kept))


def recompute_activations(network: nn.Module) -> None:
    """Let every block compute its inner activations again in the backward pass."""
    for block in network.modules():
        if isinstance(block, Block):
            # On the instance, so that names in the state stay as they are.
            block.forward = partial(  # type: ignore[method-assign]
                checkpoint, block.forward, use_reentrant=False
            )


def make_optimiser(parameters: list[nn.Parameter], config: OptimiserConfig) -> torch.optim.AdamW:
    """Return AdamW that decays matrices only, as published: neither biases nor norms."""
    return torch.optim.AdamW(
        [
            {
                'params': [p for p in parameters if p.ndim > 1],
                'weight_decay': config.weight_decay,
            },
            {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, config.second_moment),
    )


def read_log(path: Path) -> list[LogLine]:
    """Return the lines of a log; a last one that a killed process left unfinished is dropped."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('\n')]


def _short(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f'{value:.6g}')


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that appears under its name only when it is complete and on the disk."""
    partial = path.with_suffix('.partial')
    with partial.open('wb') as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
