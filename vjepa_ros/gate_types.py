# SPDX-License-Identifier: Apache-2.0
"""The nouns of the command gate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt


class GateState(IntEnum):
    """What the gate does; the numbers are those of vjepa_msgs/Status."""

    WAITING = 0
    IDLE = 1
    EXECUTING = 2
    HOLDING = 3
    STOPPED = 4
    E_STOPPED = 5


@dataclass(frozen=True)
class PlannedStep:
    """The part of a plan that is executed.

    Attributes:
        action: First action, shape (7,).
        state: Measured state that the plan starts from, shape (7,).
        stamp: When its image was taken [ns].
        goal_id: Goal that was planned for.
    """

    action: npt.NDArray[np.float64]
    state: npt.NDArray[np.float64]
    stamp: int
    goal_id: str = ''


class Hand(Protocol):
    """What the gate needs of a gripper."""

    @property
    def busy(self) -> bool:
        """Whether it moves or is about to, and is not overdue."""

    def update(self) -> None:
        """Let time pass for it; called at every tick."""

    def wants(self, closedness: float, change: float) -> bool:
        """Return whether ``move`` would do anything."""

    def move(self, closedness: float, change: float) -> None:
        """Go to a closedness, 0 open .. 1 closed, by a change of the measured one."""

    def stop(self) -> None:
        """Move no more."""
