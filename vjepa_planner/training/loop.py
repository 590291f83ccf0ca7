# SPDX-License-Identifier: Apache-2.0
"""The loop that all trainings share: draw, step, log, evaluate, watch, save."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Any

from torch import nn, Tensor

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.training.curves import update_curves
from vjepa_planner.training.interruption import deferred_interruption
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.run import OptimiserConfig, TrainingRun
from vjepa_planner.training.watch import find_alarms, is_new, StoppedError

_log = logging.getLogger(__name__)

Progress = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """How often things happen beside training, which they do not change.

    Attributes:
        log: Steps between two lines of the loss in the log.
        evaluate: Steps between two evaluations on held-out episodes.
        save: Steps between two savings of the state.
        keep_going: Whether to go on with a run that has collapsed or diverges.
    """

    log: int = 50
    evaluate: int = 500
    save: int = 200
    keep_going: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if min(self.log, self.evaluate, self.save) < 1:
            raise InvalidInputError(
                'intervals count steps, at least 1 each; got '
                f'{self.log}, {self.evaluate}, {self.save}.'
            )


@dataclass(frozen=True)
class Evaluation:
    """What was measured on held-out episodes.

    Attributes:
        numbers: For the log.
        score: Of what ``best.pt`` keeps the lowest.
        line: For people.
    """

    numbers: Mapping[str, float]
    score: float
    line: str


class Stage(ABC):
    """What is particular to one training.

    Attributes:
        objective: Trained modules, and others that belong to the state. Its result for a batch
            are scalars by name, one of them ``loss``, the others for the log.
    """

    objective: nn.Module

    @abstractmethod
    def draw(self, run: TrainingRun) -> tuple[Any, ...]:
        """Draw a batch with the random numbers of the run; return this process's part of it."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Measure on held-out episodes, without touching the random numbers of the run."""

    @abstractmethod
    def describe(self, terms: Mapping[str, Tensor]) -> str:
        """Return how the last batch went, in a few words."""

    def after_step(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what follows an optimiser step."""


def train(
    stage: Stage,
    config: OptimiserConfig,
    directory: Path,
    intervals: Intervals,
    processes: Processes,
) -> Iterator[Progress]:
    """Train, or go on with an interrupted run.

    Leaves ``log.jsonl``, ``curves.png``, ``state.pt`` (the last) and ``best.pt``. After Ctrl-C the
    step is finished and its state saved.

    Args:
        stage: What is trained.
        config: With which optimiser.
        directory: Where the run is kept.
        intervals: How often to log, evaluate and save.
        processes: Those that train together.

    Yields:
        The step, and a line about how it goes, after every step.

    Raises:
        InvalidInputError: The directory holds another run.
        DivergedError: The loss is no longer finite.
        StoppedError: The model has collapsed or the loss rises.
        KeyboardInterrupt: Ctrl-C.
    """
    run = TrainingRun(stage.objective, config, directory, processes)
    objective = processes.synchronised(stage.objective)
    report = _evaluate(stage, run, intervals) if run.step == 0 else ''
    with deferred_interruption() as interruption:
        while run.step < config.steps:
            batch = stage.draw(run)
            terms = objective(*batch)
            taken = run.apply(terms['loss'])
            stage.after_step()
            last = run.step == config.steps
            if run.step % intervals.log == 0:
                run.log(**processes.mean(terms), **taken)
            if run.step % intervals.evaluate == 0 or last:
                report = _evaluate(stage, run, intervals)
            if run.step % intervals.save == 0 or last:
                run.save()
            yield run.step, f'{stage.describe(terms)} {report}'
            if processes.any(interruption.requested):
                _save_and_leave(run)


def _evaluate(stage: Stage, run: TrainingRun, intervals: Intervals) -> str:
    """Evaluate, log, draw the curves, and say what is wrong."""
    if not run.processes.is_main:
        return ''
    was_training = stage.objective.training
    stage.objective.eval()
    evaluation = stage.evaluate()
    stage.objective.train(was_training)
    run.log(**evaluation.numbers)
    if run.step > 0:
        run.save_if_best(evaluation.score)
    _warn(run, intervals.keep_going)
    update_curves(run.logged(), run.directory / 'curves.png', last=run.step == run.config.steps)
    return evaluation.line


def _warn(run: TrainingRun, keep_going: bool) -> None:
    """Print and log warnings; stop the run where one is fatal.

    Raises:
        StoppedError: One is, and the run is not to keep going.
    """
    log = run.logged()
    for alarm in find_alarms(log, run.config.steps):
        if is_new(alarm, log):
            _log.warning('step %d: %s.', run.step, alarm.text)
            run.log(warning=alarm.kind, text=alarm.text)
        if alarm.fatal and not keep_going:
            run.save()
            raise StoppedError(
                f'stopped at step {run.step}: {alarm.text}. The state is saved in '
                f'{run.directory}; --keep-going goes on all the same.'
            )


def _save_and_leave(run: TrainingRun) -> None:
    run.save()
    if run.processes.is_main:
        _log.warning('saved at step %d; the same command goes on from there', run.step)
    raise KeyboardInterrupt
