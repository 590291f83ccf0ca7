# SPDX-License-Identifier: Apache-2.0
"""Early warnings, worked out from the log of a run: collapse, divergence, ignored actions.

Working from the log alone makes them the same after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vjepa_planner.errors import VjepaPlannerError
from vjepa_planner.training.run import LogLine

STD_FRACTION = 0.3
"""Of the first standard deviation of tokens; below it the encoder has collapsed."""

PROBE_FRACTION = 0.95
"""Of the error of the mean; a probe above it has found nothing."""

LOSS_FACTOR = 1.5
"""Times the mean loss before the first check; above it the run diverges."""

SHUFFLED_FACTOR = 1.02
"""Times the error of predictions; with foreign actions it must be larger than that."""

_CHECKS = 2  # in a row, for the judgement to count


class StoppedError(VjepaPlannerError):
    """A run was stopped because it has collapsed or diverges; its state is saved."""


class Alarm(NamedTuple):
    """Something wrong with a run.

    Attributes:
        kind: One word: ``collapse``, ``divergence``, ``actions``, ``copy``.
        text: What was measured, against which limit.
        fatal: Whether to go on is a waste of time.
    """

    kind: str
    text: str
    fatal: bool


def find_alarms(log: Sequence[LogLine], steps: int) -> list[Alarm]:
    """Return what is wrong at the last check of a run.

    Args:
        log: Its lines so far; checks are those with ``token_std`` or ``validation_one_step``.
        steps: Of the whole run. What a predictor has not learned yet is no alarm before half of
            them.
    """
    found = [_collapse(log), _blindness(log), _divergence(log)]
    if log and 2 * log[-1]['step'] >= steps:
        found += _predictor(log)
    return [alarm for alarm in found if alarm is not None]


def _checks(log: Sequence[LogLine], name: str) -> list[LogLine]:
    return [line for line in log if name in line]


def _collapse(log: Sequence[LogLine]) -> Alarm | None:
    for name, over in (('token_std', 'samples'), ('temporal_std', 'the frames of an episode')):
        values = [line[name] for line in _checks(log, name)]
        limit = STD_FRACTION * values[0] if values else 0.0
        if len(values) > _CHECKS and max(values[-_CHECKS:]) < limit:
            return Alarm(
                'collapse',
                f'the standard deviation of tokens over {over} is {values[-1]:.3g}, below '
                f'{STD_FRACTION:.0%} of the {values[0]:.3g} at the start: the encoder '
                'collapses and no longer tells images apart',
                fatal=True,
            )
    return None


def _blindness(log: Sequence[LogLine]) -> Alarm | None:
    checks = [line for line in _checks(log, 'probe_position') if line['probe_trusted']]
    last = checks[-_CHECKS:]
    blind = [c['probe_position'] > PROBE_FRACTION * c['probe_position_mean'] for c in last]
    if len(checks) <= _CHECKS or not all(blind):
        return None
    return Alarm(
        'collapse',
        f'a linear probe of the end effector is off by {100 * last[-1]["probe_position"]:.1f} cm, '
        f'and its mean position by {100 * last[-1]["probe_position_mean"]:.1f} cm: the '
        'embeddings do not tell where the arm is',
        fatal=True,
    )


def _divergence(log: Sequence[LogLine]) -> Alarm | None:
    means = _mean_losses(log)
    if len(means) <= _CHECKS or min(means[-_CHECKS:]) < LOSS_FACTOR * means[0]:
        return None
    return Alarm(
        'divergence',
        f'the loss is {means[-1]:.3g}, more than {LOSS_FACTOR} times the {means[0]:.3g} at the '
        'start: try a lower learning rate',
        fatal=True,
    )


def _mean_losses(log: Sequence[LogLine]) -> list[float]:
    """Return the mean loss before each check."""
    means: list[float] = []
    losses: list[float] = []
    for line in log:
        if 'loss' in line:
            losses.append(line['loss'])
        elif ('token_std' in line or 'validation_one_step' in line) and losses:
            means.append(sum(losses) / len(losses))
            losses = []
    return means


def _predictor(log: Sequence[LogLine]) -> list[Alarm | None]:
    checks = _checks(log, 'validation_one_step')[-_CHECKS:]
    if len(_checks(log, 'validation_one_step')) <= _CHECKS:
        return []
    alarms: list[Alarm | None] = []
    errors = [check['validation_one_step'] for check in checks]
    shuffled = [check['validation_shuffled'] for check in checks]
    copies = [check['validation_copy'] for check in checks]
    if all(s < SHUFFLED_FACTOR * e for s, e in zip(shuffled, errors, strict=True)):
        text = (
            f'with the actions of other windows predictions are as good ({shuffled[-1]:.3g}) as '
            f'with their own ({errors[-1]:.3g}): the predictor ignores actions'
        )
        alarms.append(Alarm('actions', text, fatal=False))
    if all(e >= c for e, c in zip(errors, copies, strict=True)):
        text = (
            f'predictions ({errors[-1]:.3g}) are no better than to say that nothing moves '
            f'({copies[-1]:.3g})'
        )
        alarms.append(Alarm('copy', text, fatal=False))
    return alarms


def is_new(alarm: Alarm, log: Sequence[LogLine]) -> bool:
    """Return whether the log has no warning of this kind yet."""
    return all(line.get('warning') != alarm.kind for line in log)
