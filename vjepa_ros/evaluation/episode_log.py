# SPDX-License-Identifier: Apache-2.0
"""What happens in one episode: which plans moved the arm, what they saw, when the arm rested."""

from __future__ import annotations

from collections.abc import Sequence

from vjepa_msgs.msg import Plan, Status
from vjepa_planner.types import Image
from vjepa_ros import conversions
from vjepa_ros.child_nodes.errors import NodesError

_SECOND = 1_000_000_000  # [ns]


class EpisodeLog:
    """Takes messages in the order in which they come.

    Attributes:
        budget: Actions of the whole episode.
        images: Of the camera just before each action, uint8 RGB.
        progress: Counts plans and actions: as long as it stays the same, nothing happens.
    """

    def __init__(self, goal_ids: Sequence[str], budget: int, accepted: int) -> None:
        """Begin before the first action.

        Args:
            goal_ids: Of the sub-goals, in their order.
            budget: Actions of the whole episode.
            accepted: Actions that the commander had begun before.
        """
        self.budget = budget
        self.images: list[Image] = []
        self.progress = 0
        self._goal_ids = list(goal_ids)
        self._accepted = accepted
        self._rests = True
        self._recent: dict[int, Image] = {}  # by stamp, since the last action
        self._plans: dict[int, tuple[Plan, float]] = {}  # by stamp, with the time from its image
        self._stamps: list[int] = []  # of the plans that moved the arm

    @property
    def actions(self) -> int:
        """How many have begun."""
        return len(self._stamps)

    @property
    def rests(self) -> int:
        """How often the arm has rested: before the first action, and after those that ended."""
        return self.actions + self._rests

    @property
    def is_complete(self) -> bool:
        """Whether the last action has ended, and every plan that moved the arm is here."""
        return self.rests > self.budget and all(stamp in self._plans for stamp in self._stamps)

    @property
    def energies(self) -> tuple[float, ...]:
        """Energy of the image before each action, for the sub-goal in force."""
        return tuple(plan.current_energy for plan, _ in self._executed())

    @property
    def seconds(self) -> tuple[float, ...]:
        """Time from the image to the plan of each action [s]."""
        return tuple(seconds for _, seconds in self._executed())

    @property
    def sub_goals(self) -> tuple[int, ...]:
        """Index of the sub-goal of each action."""
        return tuple(self._goal_ids.index(plan.goal_id) for plan, _ in self._executed())

    def _executed(self) -> list[tuple[Plan, float]]:
        return [self._plans[stamp] for stamp in self._stamps]

    # -- what comes in -------------------------------------------------------------------------

    def take_image(self, stamp: int, image: Image) -> None:
        """Take an image, uint8 RGB, that was taken at ``stamp`` [ns]."""
        self._recent[stamp] = image

    def take_plan(self, message: Plan, received: int) -> None:
        """Take a plan that came at ``received`` [ns]; most, but not all of them move the arm."""
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        if message.goal_id in self._goal_ids:
            self._plans[stamp] = message, (received - stamp) / _SECOND
            self.progress += 1

    def take_status(self, message: Status) -> None:
        """Take what the commander says.

        Raises:
            NodesError: The actions are not one after the other, or more than there should be.
        """
        begun = message.accepted - self._accepted - self.actions
        if begun not in (0, 1):
            raise NodesError(
                f'the commander counts {message.accepted - self._accepted} actions after '
                f'{self.actions}: it was started again, or what it said was lost.'
            )
        if begun:
            self._begin_action(conversions.nanoseconds_from_stamp(message.plan_stamp))
        self._rests = message.state != Status.EXECUTING and message.settled != Status().settled

    def _begin_action(self, stamp: int) -> None:
        """Note an action by the stamp of its plan, which may come later than this."""
        if self.actions == self.budget:
            raise NodesError(f'the arm goes on after all {self.budget} actions of the episode.')
        self._stamps.append(stamp)
        self.progress += 1
        if self._recent:  # the very image of the plan, unless it was lost on the way
            nearest = min(self._recent, key=lambda other: abs(other - stamp))
            self.images.append(self._recent[nearest])
        self._recent = {other: image for other, image in self._recent.items() if other > stamp}
