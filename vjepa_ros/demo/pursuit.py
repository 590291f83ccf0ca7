# SPDX-License-Identifier: Apache-2.0
"""What happened on the way to one goal, and whether it was reached. No ROS here.

The judge knows the pose behind the goal image and looks at the measured pose of the resting arm;
energy only tells it that the planner, which does not know that pose, has arrived as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vjepa_planner.evaluation.criteria import SUCCESS_DISTANCE

_SECOND = 1_000_000_000  # [ns]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The arm at rest, and the plan that was made from there.

    Attributes:
        actions: How many the arm has executed for this goal so far.
        stamp: When the image of the plan was taken [ns].
        energy: Of that image.
        distance: From the measured to the goal position [m].
        planning: Time that planning took [s].
        latency: Time from image to plan [s].
        stale: Whether that is more than the commander accepts.
    """

    actions: int
    stamp: int
    energy: float
    distance: float
    planning: float
    latency: float
    stale: bool = False


@dataclass(kw_only=True)
class Pursuit:
    """The way to one goal.

    Attributes:
        number: Of the goal, from 1.
        goal_id: What the goal node calls it.
        given_as: How the goal image was handed over, in words.
        position: Of the goal, shape (3,) [m].
        max_actions: Actions after which it is over.
        begin: When the goal was set [ns].
        end: When its outcome was known [ns]; None until then.
        steps: One per rest of the arm, in order.
        refused: Plans that the commander refused.
        stale: Plans that were too old when they came.
    """

    number: int
    goal_id: str
    given_as: str
    position: npt.NDArray[np.float64]
    max_actions: int
    begin: int
    end: int | None = None
    steps: list[Step] = field(default_factory=list)
    refused: int = 0
    stale: int = 0

    def distance(self, position: npt.NDArray[np.float64]) -> float:
        """Return how far a position, shape (3,) [m], is from the goal [m]."""
        return float(np.linalg.norm(position - self.position))

    def add(self, step: Step) -> None:
        """Take a step.

        A second plan from the same rest, because the first one was refused, takes its place.
        """
        self.stale += step.stale
        if self.steps and self.steps[-1].actions == step.actions:
            self.steps.pop()
        self.steps.append(step)

    @property
    def actions(self) -> int:
        """How many actions the arm has executed up to the last step."""
        return self.steps[-1].actions if self.steps else 0

    @property
    def outcome(self) -> bool | None:
        """Whether the goal was reached; None as long as that is open.

        It is reached when the arm rests within the success distance for the second time in a row,
        or for the first time and the energy has stopped falling; after the last action, distance
        alone decides.
        """
        if not self.steps:
            return None
        last = self.steps[-1]
        inside = last.distance < SUCCESS_DISTANCE
        if last.actions >= self.max_actions:
            return inside
        if last.actions == 0 or not inside:
            return None
        before = self.steps[-2] if len(self.steps) > 1 else last
        stays = before.distance < SUCCESS_DISTANCE or last.energy >= before.energy
        return True if stays else None

    @property
    def seconds_per_plan(self) -> float:
        """Median time that planning took [s]."""
        return float(np.median([step.planning for step in self.steps]))

    @property
    def seconds_per_action(self) -> float | None:
        """Mean time from one rest to the next: look, plan and move [s]; None without an action."""
        if self.actions == 0:
            return None
        return (self.steps[-1].stamp - self.steps[0].stamp) / _SECOND / self.actions
