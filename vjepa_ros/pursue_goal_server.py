# SPDX-License-Identifier: Apache-2.0
"""The action ``pursue_goal`` of the goal node.

The latest goal wins, as everywhere in this package: a new one ends the one before once its images
are known to be good, and so does whoever sets a goal by a service. While one is being encoded,
others are rejected, so that a flood of them occupies no more than two threads.

The action never starts the commander. It waits for the operator's ``start`` and ends when the
operator, or a fault, stops the arm.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
import threading
import time
from typing import TYPE_CHECKING

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from std_srvs.srv import Trigger

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import SubGoal
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.termination import TerminationConfig
from vjepa_ros.goal_pursuit import GoalPursuit
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.sequence_pursuit import check_sequence
from vjepa_ros.settings import setting

if TYPE_CHECKING:
    from vjepa_ros.goal_node import GoalNode

_HANDOVER = 0.01  # [s] from the publication of a goal until the next one may be prepared
_LATENCY = 0.1  # [s] until a cancellation or a time-out is noticed
_FEEDBACK_PERIOD = 0.5  # [s]
_STOP_TIMEOUT = 2.0  # [s] for the commander to answer that the arm holds


@dataclass(frozen=True, kw_only=True)
class PursueConfig:
    """What ends a pursuit, besides what its goal says."""

    max_actions: int = setting(
        30, 'Actions of a single goal whose max_actions is 0', minimum=1, maximum=10000
    )
    looks: int = setting(
        3, 'Images in a row below the energy threshold that mean reached', minimum=1, maximum=100
    )
    patience: int = setting(
        8, 'Actions without progress that mean stagnated', minimum=1, maximum=1000
    )
    min_progress: float = setting(
        0.01,
        'Part of the lowest energy by which a lower one is progress',
        minimum=0.0,
        maximum=0.5,
    )


class PursueGoalServer:
    """Accepts goals, lets the goal node pursue them, and reports."""

    def __init__(self, node: GoalNode, config: ConfigParameters[PursueConfig]) -> None:
        """Serve the action on ``node``."""
        self._node = node
        self._config = config
        self._preparing = threading.Lock()
        self._stop = node.create_client(
            Trigger, 'stop', callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._server = ActionServer(
            node,
            PursueGoal,
            'pursue_goal',
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=self._on_goal,
            cancel_callback=lambda _handle: CancelResponse.ACCEPT,
        )

    def _on_goal(self, _request: PursueGoal.Goal) -> GoalResponse:
        """Take a goal unless another one is being prepared; the result tells what is wrong."""
        if self._preparing.acquire(timeout=_HANDOVER):
            return GoalResponse.ACCEPT  # _execute releases it
        self._node.status.reject('pursue_goal rejected: another goal is being encoded.')
        return GoalResponse.REJECT

    def _execute(self, handle: ServerGoalHandle) -> PursueGoal.Result:
        try:
            pursuit = self._begin(handle.request)
        except VjepaPlannerError as error:
            self._node.status.reject(f'pursue_goal refused: {error}')
            handle.abort()
            return PursueGoal.Result(
                outcome=PursueGoal.Result.ABORTED, reason=str(error), energy=math.nan
            )
        finally:
            self._preparing.release()
        self._watch(handle, pursuit)
        self._node.release(pursuit)
        result = pursuit.result
        assert result is not None
        if result.outcome == PursueGoal.Result.CANCELLED:
            handle.canceled()
        elif _is_success(handle.request, result):
            handle.succeed()
        else:
            handle.abort()
        self._node.get_logger().info(f'pursue_goal has ended: {result.reason}')
        return result

    def _begin(self, request: PursueGoal.Goal) -> GoalPursuit:
        """Put a goal in force.

        Raises:
            VjepaPlannerError: Something about it is wrong; what was in force stays.
        """
        sub_goals = self._sub_goals(request)
        check_sequence(sub_goals)
        if not (math.isfinite(request.timeout) and request.timeout >= 0.0):
            raise InvalidInputError(
                f'timeout must be 0 or positive and finite, got {request.timeout}.'
            )
        settings, last = self._config.value, sub_goals[-1]
        config = TerminationConfig(
            max_actions=last.max_actions,
            energy_threshold=last.energy_threshold or None,
            looks=settings.looks,
            patience=settings.patience,
            min_progress=settings.min_progress,
        )
        goals = self._node.encoded_goals(sub_goals)
        pursuit = GoalPursuit(goals, sub_goals, config, self._node.commander, self._now)
        self._node.put_in_force(goals, pursuit)
        return pursuit

    def _sub_goals(self, request: PursueGoal.Goal) -> list[SubGoal]:
        """Return what is to be pursued, with the numbers of the request for the last one."""
        single = request.image.height > 0 or request.path
        if bool(single) == bool(request.sub_goals):
            given = 'both' if single else 'neither'
            raise InvalidInputError(f'give an image, a path or sub_goals, got {given}.')
        sub_goals = list(request.sub_goals) or [SubGoal(image=request.image, path=request.path)]
        last = sub_goals[-1]
        last.energy_threshold = request.energy_threshold or last.energy_threshold
        last.max_actions = (
            request.max_actions or last.max_actions or self._config.value.max_actions
        )
        return sub_goals

    def _watch(self, handle: ServerGoalHandle, pursuit: GoalPursuit) -> None:
        """Return when the pursuit has a result; tell the client meanwhile how far it is."""
        timeout = handle.request.timeout
        deadline = time.monotonic() + timeout if timeout else math.inf
        handle.publish_feedback(pursuit.feedback())
        next_feedback = time.monotonic() + _FEEDBACK_PERIOD
        while not pursuit.wait(_LATENCY):
            now = time.monotonic()
            if handle.is_cancel_requested:
                held = self._request_hold()
                self._node.change(pursuit, pursuit.cancel)  # whether the commander answers or not
                self._wait_until_held(held)
            elif self._node.inactive.is_set():
                self._node.change(pursuit, lambda: pursuit.abort('the goal node ends'))
            elif now > deadline:
                reason = f'not done within the timeout of {timeout:g} s'
                self._node.change(pursuit, lambda reason=reason: pursuit.abort(reason))
            pursuit.let_time_pass()
            if now >= next_feedback:
                next_feedback = now + _FEEDBACK_PERIOD
                handle.publish_feedback(pursuit.feedback())

    def _request_hold(self) -> threading.Event | None:
        """Tell the commander to hold; return what is set when it answers, None without one.

        What the operator has stopped stays stopped.
        """
        if not self._stop.service_is_ready():
            return None
        held = threading.Event()
        self._stop.call_async(Trigger.Request()).add_done_callback(lambda _: held.set())
        return held

    def _wait_until_held(self, held: threading.Event | None) -> None:
        """Return when the commander has answered, so that `cancelled` means held."""
        if held is None or not held.wait(_STOP_TIMEOUT):
            self._node.get_logger().error(
                'pursue_goal was cancelled, but the commander does not answer: the arm may move'
            )

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _is_success(request: PursueGoal.Goal, result: PursueGoal.Result) -> bool:
    """Return whether it became what the client asked for; without a threshold, the actions."""
    if result.outcome == PursueGoal.Result.REACHED:
        return True
    last = request.sub_goals[-1].energy_threshold if request.sub_goals else 0.0
    without_threshold = not (request.energy_threshold or last)
    return without_threshold and result.outcome == PursueGoal.Result.BUDGET_USED
