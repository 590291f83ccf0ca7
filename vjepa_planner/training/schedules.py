# SPDX-License-Identifier: Apache-2.0
"""Learning rates over the steps of a training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
from types import MappingProxyType

PUBLISHED_RAMP = 1 / 21
"""Share of all steps that V-JEPA 2 and 2-AC warm up for, and decay for at the end.

12,000 of 252,000 steps of pre-training (arXiv 2506.09985, appendix), 4,500 of 94,500 of 2-AC
(``configs/train/vitg16/droid-256px-8f.yaml``).
"""

_COSINE_WARMUP_STEPS = 100
_COSINE_FINAL = 0.02


def warmup_constant_decay(
    step: int, steps: int, warmup: int, decay: int, start: float, final: float
) -> float:
    """Return the share of the largest rate: up in a straight line, level, down in another.

    As ``WSDSchedule`` of the official code.

    Args:
        step: From 1 for the first one.
        steps: In all.
        warmup: Steps of the rise.
        decay: Steps of the fall, the last ones.
        start: Share to rise from.
        final: Share of the last step.
    """
    if step < warmup:
        return start + (1 - start) * step / warmup
    if step < steps - decay:
        return 1.0
    progress = (step - (steps - decay)) / max(1, decay)
    return 1 + progress * (final - 1)


def warmup_cosine(step: int, steps: int) -> float:
    """Return the share of the largest rate: 100 steps of rise, times half a cosine down to 2 %.

    Args:
        step: From 1 for the first one.
        steps: In all.
    """
    warmup = min(1.0, step / _COSINE_WARMUP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
    return warmup * (_COSINE_FINAL + (1 - _COSINE_FINAL) * cosine)


def _published(step: int, steps: int, start: float, final: float) -> float:
    ramp = round(steps * PUBLISHED_RAMP)
    return warmup_constant_decay(step, steps, ramp, ramp, start, final)


SCHEDULES: MappingProxyType[str, Callable[[int, int], float]] = MappingProxyType({
    # 1e-4 to 5.25e-4, and 1e-6 at the end of the cool-down.
    'vjepa2': partial(_published, start=1e-4 / 5.25e-4, final=1e-6 / 5.25e-4),
    # 7.5e-5 to 4.25e-4, and 0.
    'vjepa2-ac': partial(_published, start=7.5e-5 / 4.25e-4, final=0.0),
    'cosine': warmup_cosine,
})  # fmt: skip
"""By name: share of the largest learning rate at a step, counted from 1, of so many."""
