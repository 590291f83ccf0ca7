# SPDX-License-Identifier: Apache-2.0
"""The episode: wait for the nodes, then set one goal after the other and watch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import time

from vjepa_msgs.msg import Status
from vjepa_planner.evaluation import TaskGoal
from vjepa_planner.types import Image
from vjepa_ros import conversions
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.nodes import PLAN_MAX_AGE
from vjepa_ros.child_nodes.watcher import COMMANDER
from vjepa_ros.demo.display import Display
from vjepa_ros.demo.observer import Observer, ReceivedPlan
from vjepa_ros.demo.pursuit import Pursuit, Step

_SERVICE_TIMEOUT = 150.0  # [s]
_PLAN_TIMEOUT = 150.0  # [s] without a plan after which something must be wrong
_SECOND = 1_000_000_000  # [ns]

_ARM = {
    Status.WAITING: 'waits',
    Status.IDLE: 'rests',
    Status.EXECUTING: 'moves',
    Status.HOLDING: 'holds',
    Status.STOPPED: 'is stopped',
    Status.E_STOPPED: 'is stopped',
}


class Episode:
    """Directs the nodes through their services, and keeps what became of each goal."""

    def __init__(self, observer: Observer, display: Display, max_actions: int) -> None:
        """Direct the nodes that ``observer`` observes.

        Args:
            observer: Of running nodes.
            display: Shows the progress.
            max_actions: Actions per goal after which the next one is set.
        """
        self._observer = observer
        self._display = display
        self._max_actions = max_actions
        self._plans_seen = 0
        self.pursuits: list[Pursuit] = []

    def wait_for_nodes(self) -> None:
        """Return when all nodes are ready and the first pose of the arm has come.

        Raises:
            NodesError: One is not in time.
        """
        self._observer.wait_for_nodes(
            lambda node, seconds: self._display.say(f'  {node:<10} ready after {seconds:.0f} s'),
            lambda names, seconds: self._display.update(f'  waiting for {names}: {seconds:.0f} s'),
        )

    def pursue(self, goal: TaskGoal, image: Image | Path) -> None:
        """Set a goal and return when it is reached, or all actions are used.

        Args:
            goal: For the judge.
            image: For the goal node: the image itself, or the path of its file.

        Raises:
            NodesError: A node refuses, or no plans come.
        """
        observer = self._observer
        given_as = 'path' if isinstance(image, Path) else 'image'
        goal_id = observer.set_goal(image, _SERVICE_TIMEOUT)
        pursuit = Pursuit(
            number=len(self.pursuits) + 1,
            goal_id=goal_id,
            given_as=given_as,
            position=goal.position,
            max_actions=self._max_actions,
            begin=observer.now(),
        )
        self.pursuits.append(pursuit)
        self._display.say(f'goal {pursuit.number} set by set_goal_image ({given_as}): {goal_id}')
        refused_before = observer.statuses[COMMANDER].rejected
        last_plan = time.monotonic()
        while pursuit.outcome is None:
            observer.spin()
            for step in self._new_steps(pursuit):
                last_plan = time.monotonic()
                self._display.say(_step_line(pursuit, step))
            self._display.update(self._live_line(pursuit))
            if time.monotonic() - last_plan > _PLAN_TIMEOUT:
                raise NodesError(f'no plan for {_PLAN_TIMEOUT:g} s. {observer.what_nodes_say()}')
        pursuit.end = observer.now()
        pursuit.refused = observer.statuses[COMMANDER].rejected - refused_before

    def hold(self) -> None:
        """Stop the arm."""
        self._observer.stop(_SERVICE_TIMEOUT)

    def _new_steps(self, pursuit: Pursuit) -> Sequence[Step]:
        """Give the plans that have come to the pursuit, as steps, and return those."""
        plans = self._observer.plans[self._plans_seen :]
        self._plans_seen += len(plans)
        steps = []
        for plan in plans:
            if plan.message.goal_id == pursuit.goal_id:
                steps.append(self._step(plan, pursuit))
                pursuit.add(steps[-1])
        return steps

    def _step(self, plan: ReceivedPlan, pursuit: Pursuit) -> Step:
        """Return a plan as a step: with where the arm really was when its image was taken."""
        stamp = conversions.nanoseconds_from_stamp(plan.message.header.stamp)
        position = self._observer.recording.position_at(stamp)
        if position is None:
            raise NodesError('a plan came before any measured pose of the arm.')
        moves = [when for goal, when in self._observer.executed if goal == pursuit.goal_id]
        latency = (plan.received - stamp) / _SECOND
        return Step(
            # By stamps: the news that a plan moves the arm may overtake the plan itself.
            actions=sum(when < stamp for when in moves),
            stamp=stamp,
            energy=plan.message.current_energy,
            distance=pursuit.distance(position),
            planning=plan.message.duration,
            latency=latency,
            stale=latency > PLAN_MAX_AGE,
        )

    def _live_line(self, pursuit: Pursuit) -> str:
        commander = self._observer.statuses[COMMANDER]
        position = self._observer.recording.position
        line = f'  goal {pursuit.number}'
        if pursuit.steps:
            step = pursuit.steps[-1]
            line += f'  action {step.actions:>2}/{pursuit.max_actions}  energy {step.energy:.3f}'
        if position is not None:
            line += f'  distance {pursuit.distance(position) * 100:5.1f} cm'
        return f'{line}  arm {_ARM.get(commander.state, "?")}'


def _step_line(pursuit: Pursuit, step: Step) -> str:
    return (
        f'  after {step.actions:>2} of {pursuit.max_actions} actions: energy {step.energy:.3f}, '
        f'distance {step.distance * 100:5.1f} cm, planned in {step.planning:.2f} s'
    )
