# SPDX-License-Identifier: Apache-2.0
"""The grippers that the commander can drive: one class per kind of action, and one registry line.

The action packages are imported when they are needed: without them the arm still moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
import time
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

from vjepa_planner.errors import MissingDependencyError, UnknownNameError
from vjepa_planner.robots import fr3
from vjepa_ros.action_connection import ActionConnection
from vjepa_ros.settings import setting

_LONGEST_STALL = 180.0  # [s] that libfranka has been seen to block in, without a way to stop it
_SAME_CLOSEDNESS = 0.05  # a goal this close to the last one is not sent again
_REFRESH_PERIOD = 0.5  # [s] of the connections
# [s] for what keeps a goal from being sent to pass: on a busy machine a server that is there has
# been reported missing for a moment, perhaps because another one of its name had just ended.
_PATIENCE = 1.0


@dataclass(frozen=True, kw_only=True)
class GripperConfig:
    """How the gripper is driven."""

    gripper: str = setting(
        'auto',
        'Actions of the gripper: franka_msgs, control_msgs, none, or auto for the first '
        'that is installed',
        read_only=True,
    )
    gripper_namespace: str = setting(
        'franka_gripper', 'Where its actions are; /franka_gripper on a real arm', read_only=True
    )
    gripper_speed: float = setting(0.1, 'Speed of its width [m/s]', minimum=0.001, maximum=0.2)
    gripper_force: float = setting(40.0, 'Grasping force [N]', minimum=1.0, maximum=70.0)
    gripper_deadband: float = setting(
        0.1, 'Planned changes of closedness below this are not executed', minimum=0.0, maximum=1.0
    )
    gripper_reversal: float = setting(
        0.3,
        'Planned changes below this are not executed if they take back what the gripper did last',
        minimum=0.0,
        maximum=1.0,
    )
    gripper_dwell: float = setting(
        1.0,
        'Least time between two gripper goals; a later one waits [s]',
        minimum=0.0,
        maximum=60.0,
    )
    gripper_timeout: float = setting(
        5.0, 'Longest wait for one gripper action [s]', minimum=0.1, maximum=60.0
    )


@dataclass
class _Goal:
    """A goal without a result, and its handle once it is accepted."""

    connection: ActionConnection
    client: ActionClient  # of the connection, when it was sent
    sent: float  # steady time [s]
    handle: Any = None

    def is_in_vain(self, now: float) -> bool:
        """Whether there will be no result, at the steady time ``now`` [s]."""
        return (
            now - self.sent > _LONGEST_STALL
            or self.client is not self.connection.client
            or self.connection.is_lost(now)
        )


class Gripper(ABC):
    """Sends one goal at a time and knows when it is done."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        """Create the action clients on ``node``.

        Raises:
            MissingDependencyError: The package of the actions is not installed.
        """
        self.config = config
        self._node = node
        self._last: tuple[float, float] | None = None  # closedness and change of the last goal
        self._waiting: tuple[float, float] | None = None  # what is sent when the dwell is over
        self._deadline = 0.0  # steady time [s] of the goal under way; 0 without one
        self._dwell_end = 0.0  # steady time [s]
        self._give_up = 0.0  # steady time [s] until which what waits is tried
        self._goals = 0  # sent so far: an answer to an older one does not count
        self._stopped = 0  # goals up to this number must not move the gripper any more
        self._open: dict[int, _Goal] = {}  # without a result, overdue ones too
        self._connections: list[ActionConnection] = []
        self._next_look = 0.0  # steady time [s]

    @property
    def busy(self) -> bool:
        """Whether a goal is under way and not overdue, or waits to be sent."""
        return self._deadline > 0.0 or self._waiting is not None

    @property
    def is_connected(self) -> bool:
        """Whether all action servers that it needs are there."""
        return all(connection.is_ready for connection in self._connections)

    def update(self) -> None:
        """Let time pass: send what has waited for long enough, give up what is overdue."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _REFRESH_PERIOD
            for connection in self._connections:
                connection.refresh(now)
        if self._deadline and now > self._deadline:
            self.stop(f'no result within {self.config.gripper_timeout:g} s')
        if self._waiting is not None and not self._deadline and now >= self._dwell_end:
            self._send(*self._waiting)

    def wants(self, closedness: float, change: float) -> bool:
        """Return whether a planned change to a closedness is worth a goal; see :meth:`move`."""
        if abs(change) < self.config.gripper_deadband:
            return False
        if self._last is None:
            return True
        last_closedness, last_change = self._last
        if change * last_change < 0.0:
            return abs(change) >= self.config.gripper_reversal
        # Fingers that stop at an object leave the rest of a change to be planned again and again.
        same = abs(closedness - last_closedness) < _SAME_CLOSEDNESS
        return not same or abs(change) > abs(last_change) + _SAME_CLOSEDNESS

    def move(self, closedness: float, change: float) -> None:
        """Go to a closedness, once the dwell is over, if that is worth a new goal.

        Args:
            closedness: 0 open .. 1 closed.
            change: From the measured closedness to it; its sign tells closing from opening.
        """
        if self.busy:
            return
        if self.wants(closedness, change):
            self._waiting = closedness, change
            self._give_up = max(time.monotonic(), self._dwell_end) + _PATIENCE
            self.update()
        elif self._last is not None and change * self._last[1] > 0.0:
            # What is left of it now: more than that later means that the fingers were moved.
            self._last = self._last[0], min(change, self._last[1], key=abs)

    def _send(self, closedness: float, change: float) -> None:
        """Send what waits, or give it up if something has been in the way for too long."""
        connection, goal = self._goal((1.0 - closedness) * fr3.MAX_GRIPPER_WIDTH, change > 0.0)
        client, now = connection.client, time.monotonic()
        if obstacle := self._obstacle(connection, now):
            if now < self._give_up:
                return
            self._waiting = None
            self._node.get_logger().warning(
                f'gripper does not move: {obstacle}', throttle_duration_sec=5.0
            )
            return
        self._last, self._waiting = (closedness, change), None
        self._goals += 1
        number = self._goals
        self._deadline = now + self.config.gripper_timeout
        self._dwell_end = now + self.config.gripper_dwell
        self._open[number] = _Goal(connection, client, now)
        client.send_goal_async(goal).add_done_callback(
            lambda future: self._on_answer(number, future.result())
        )

    def stop(self, reason: str = 'stopped') -> None:
        """Cancel every goal without a result, also one that is only accepted later.

        What was wanted last is forgotten: until the arm goes on, somebody may move the fingers.
        """
        self._waiting = self._last = None
        if self._stopped == self._goals:
            return
        self._stopped = self._goals
        for goal in self._open.values():
            if goal.handle is not None:
                goal.handle.cancel_goal_async()
        self._finish(self._goals, reason)

    def _obstacle(self, connection: ActionConnection, now: float) -> str:
        """Return why no goal can be sent now; empty if one can."""
        self._open = {n: goal for n, goal in self._open.items() if not goal.is_in_vain(now)}
        if self._open:
            return 'its last goal is still without a result, and two at once must not be'
        return '' if connection.is_ready else 'its action server is missing'

    @abstractmethod
    def _goal(self, width: float, closing: bool) -> tuple[ActionConnection, Any]:
        """Return whom to give which goal, to bring the gripper to ``width`` [m]."""

    @abstractmethod
    def _failure(self, result: Any) -> str:  # noqa: ANN401 - of either package
        """Return what an action's result says is wrong; empty if nothing is."""

    def _on_answer(self, number: int, handle: Any) -> None:  # noqa: ANN401 - has no public type
        if not handle.accepted:
            self._open.pop(number, None)
            self._finish(number, 'goal rejected')
            return
        if number in self._open:
            self._open[number].handle = handle
        handle.get_result_async().add_done_callback(
            lambda future: self._on_result(number, future.result().result)
        )
        if number <= self._stopped:
            handle.cancel_goal_async()

    def _on_result(self, number: int, result: Any) -> None:  # noqa: ANN401 - of either package
        self._open.pop(number, None)
        self._finish(number, self._failure(result))

    def _finish(self, number: int, failure: str) -> None:
        if number != self._goals or not self._deadline:
            return
        self._deadline = 0.0
        if failure:
            self._last = None  # it may be anywhere: send the next goal in any case
            self._node.get_logger().warning(f'gripper: {failure}')

    def _connect(self, action: Any, name: str) -> ActionConnection:  # noqa: ANN401 - no base class
        name = f'{self.config.gripper_namespace}/{name}'
        self._connections.append(ActionConnection(self._node, action, name))
        return self._connections[-1]


class FrankaGripper(Gripper):
    """``franka_msgs``: opens by ``move``, closes by ``grasp``.

    ``move`` against an object may stall libfranka for minutes, so it never closes; ``grasp`` gets
    an epsilon of the whole stroke, because an object may have any width.
    """

    def __init__(self, node: Node, config: GripperConfig) -> None:
        """Create the clients of ``move`` and ``grasp``."""
        super().__init__(node, config)
        try:
            from franka_msgs.action import Grasp, Move
        except ImportError as error:
            raise _missing('franka_msgs') from error
        self._move, self._grasp = self._connect(Move, 'move'), self._connect(Grasp, 'grasp')

    def _goal(self, width: float, closing: bool) -> tuple[ActionConnection, Any]:
        speed = self.config.gripper_speed
        if not closing:
            return self._move, self._move.action.Goal(width=width, speed=speed)
        goal = self._grasp.action.Goal(width=width, speed=speed, force=self.config.gripper_force)
        goal.epsilon.inner = goal.epsilon.outer = fr3.MAX_GRIPPER_WIDTH
        return self._grasp, goal

    def _failure(self, result: Any) -> str:  # noqa: ANN401
        return '' if result.success else result.error or 'failed without a reason'


class ControlGripper(Gripper):
    """``control_msgs/GripperCommand``, whose position is half the width."""

    def __init__(self, node: Node, config: GripperConfig) -> None:
        """Create the client of ``gripper_action``."""
        super().__init__(node, config)
        try:
            from control_msgs.action import GripperCommand
        except ImportError as error:
            raise _missing('control_msgs') from error
        self._command = self._connect(GripperCommand, 'gripper_action')

    def _goal(self, width: float, closing: bool) -> tuple[ActionConnection, Any]:
        goal = self._command.action.Goal()
        goal.command.position = width / 2
        goal.command.max_effort = self.config.gripper_force if closing else 0.0
        return self._command, goal

    def _failure(self, result: Any) -> str:  # noqa: ANN401
        return '' if result.reached_goal or result.stalled else 'did not reach its goal'


_GRIPPERS: dict[str, type[Gripper]] = {
    'franka_msgs': FrankaGripper,
    'control_msgs': ControlGripper,
}


def make_gripper(node: Node, config: GripperConfig) -> Gripper | None:
    """Return the gripper of this configuration; None for ``none``, or if ``auto`` finds nothing.

    Raises:
        UnknownNameError: There is no such kind of gripper.
        MissingDependencyError: Its action package is not installed.
    """
    if config.gripper in _GRIPPERS:
        return _GRIPPERS[config.gripper](node, config)
    if config.gripper == 'none':
        return None
    if config.gripper != 'auto':
        raise UnknownNameError('gripper', config.gripper, ('auto', 'none', *_GRIPPERS))
    for kind in _GRIPPERS.values():
        try:
            return kind(node, config)
        except MissingDependencyError:
            continue
    node.get_logger().warning(
        f'the gripper stays as it is: none of {", ".join(_GRIPPERS)} is installed'
    )
    return None


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f'the gripper needs the ROS package {package}, which is not installed. Install it, or set '
        'the parameter gripper to none.'
    )
