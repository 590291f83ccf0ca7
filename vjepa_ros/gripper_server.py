# SPDX-License-Identifier: Apache-2.0
"""The actions of a Franka Hand, carried out by whatever moves fingers.

They behave as those of franka_ros2's gripper node: every goal is accepted at once, goals do not
wait for each other, the position of a GripperCommand is half the width, and ``stop`` ends all.

An action's callback waits for the gripper, so the executor needs a thread for each.
"""

from __future__ import annotations

from typing import Any, Protocol

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_ros.node import VjepaNode

_ARRIVED = 0.001  # [m] from the target
_STALL_WINDOW = 0.3  # [s] of simulated time in which a free gripper moves noticeably
_STALL_SHARE = 0.2  # of the commanded speed: a gripper slower than this is stopped by something
_TIMEOUT = 20.0  # [s] of simulated time
_DEFAULT_SPEED = 0.1  # [m/s] as franka_ros2 has it
_DEFAULT_FORCE = 40.0  # [N] for opening
_FEEDBACK_PERIOD = 0.1  # [s] of simulated time


class Fingers(Protocol):
    """What moves the fingers of a hand: the embedded simulation, or a controller."""

    def set_gripper_target(self, width: float, speed: float, force: float) -> None:
        """Move the gripper to ``width`` [m] at ``speed`` [m/s] with up to ``force`` [N].

        Raises:
            InvalidInputError: It cannot, or a number is not finite, or not positive.
        """

    def gripper_width(self) -> float:
        """Return the opening of the gripper [m]; NaN if it is not measured yet."""

    def wait_for_step(self) -> float:
        """Wait for the next measurement, but not for ever, and return the (simulated) time [s]."""


class GripperServer:
    """Serves ``move``, ``grasp``, ``homing`` and ``gripper_action``, as far as installed."""

    def __init__(self, node: VjepaNode, fingers: Fingers, namespace: str) -> None:
        """Create the action servers and the service ``stop`` on ``node``, in ``namespace``."""
        self._node = node
        self._fingers = fingers
        self._namespace = namespace
        self._group = ReentrantCallbackGroup()
        self._stops = 0  # calls of `stop`: a goal from before the last one is over
        node.create_service(Trigger, f'{namespace}/stop', self._stop, callback_group=self._group)
        try:
            from franka_msgs.action import Grasp, Homing, Move
        except ImportError:
            node.get_logger().warning('franka_msgs is not installed: no move, grasp and homing')
        else:
            self._serve(Move, 'move', self._move)
            self._serve(Grasp, 'grasp', self._grasp)
            self._serve(Homing, 'homing', self._home)
        try:
            from control_msgs.action import GripperCommand
        except ImportError:
            node.get_logger().warning('control_msgs is not installed: no gripper_action')
        else:
            self._serve(GripperCommand, 'gripper_action', self._command)

    def _serve(self, action: Any, name: str, execute: Any) -> None:  # noqa: ANN401
        ActionServer(
            self._node,
            action,
            f'{self._namespace}/{name}',
            execute,
            callback_group=self._group,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    def _stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._stops += 1
        try:
            self._rest(_DEFAULT_SPEED, _DEFAULT_FORCE)
            response.success = True
        except InvalidInputError as error:
            response.message = str(error)
        return response

    def _rest(self, speed: float, force: float) -> None:
        """Stay where the fingers are."""
        self._fingers.set_gripper_target(self._fingers.gripper_width(), speed, force)

    # The types of goal handles are not public in rclpy, hence Any.

    def _move(self, handle: Any) -> Any:  # noqa: ANN401
        from franka_msgs.action import Move

        goal = handle.request
        error = self._go(handle, Move.Feedback(), goal.width, goal.speed, _DEFAULT_FORCE)
        if not error and abs(self._fingers.gripper_width() - goal.width) > _ARRIVED:
            error = f'stopped at {self._fingers.gripper_width():.4f} m before {goal.width:.4f} m'
        return _end(handle, Move.Result(success=not error, error=error), not error)

    def _grasp(self, handle: Any) -> Any:  # noqa: ANN401
        from franka_msgs.action import Grasp

        goal = handle.request
        error = self._go(handle, Grasp.Feedback(), goal.width, goal.speed, goal.force)
        width = self._fingers.gripper_width()
        low, high = goal.width - goal.epsilon.inner, goal.width + goal.epsilon.outer
        if not error and not low - _ARRIVED <= width <= high + _ARRIVED:
            error = f'nothing grasped: the width is {width:.4f} m, not {low:.4f} to {high:.4f} m'
        return _end(handle, Grasp.Result(success=not error, error=error), not error)

    def _home(self, handle: Any) -> Any:  # noqa: ANN401
        from franka_msgs.action import Homing

        error = self._go(
            handle, Homing.Feedback(), fr3.MAX_GRIPPER_WIDTH, _DEFAULT_SPEED, _DEFAULT_FORCE
        )
        return _end(handle, Homing.Result(success=not error, error=error), not error)

    def _command(self, handle: Any) -> Any:  # noqa: ANN401
        from control_msgs.action import GripperCommand

        command = handle.request.command
        width = 2.0 * command.position
        if not 0.0 <= width <= fr3.MAX_GRIPPER_WIDTH:
            return _end(
                handle, GripperCommand.Result(position=self._fingers.gripper_width()), False
            )
        force = command.max_effort if command.max_effort > 0.0 else _DEFAULT_FORCE
        error = self._go(handle, GripperCommand.Feedback(), width, _DEFAULT_SPEED, force)
        reached = abs(self._fingers.gripper_width() - width) <= _ARRIVED
        result = GripperCommand.Result(
            position=self._fingers.gripper_width(),
            effort=command.max_effort,
            reached_goal=reached,
            stalled=not error and not reached,
        )
        return _end(handle, result, reached)

    def _go(
        self,
        handle: Any,  # noqa: ANN401
        feedback: Any,  # noqa: ANN401
        width: float,
        speed: float,
        force: float,
    ) -> str:
        """Move the gripper until it arrives or stops; return what went wrong, or an empty text."""
        stops = self._stops
        try:
            self._fingers.set_gripper_target(width, speed, force)
        except InvalidInputError as error:
            return str(error)
        began = window = told = self._fingers.wait_for_step()
        window_width = self._fingers.gripper_width()
        while not self._node.closing.is_set():
            now, opening = self._fingers.wait_for_step(), self._fingers.gripper_width()
            if self._stops > stops:
                return 'stopped'
            if handle.is_cancel_requested:
                self._rest(speed, force)
                return 'cancelled'
            if now - told >= _FEEDBACK_PERIOD:
                told = now
                _tell(handle, feedback, opening)
            if abs(opening - width) <= _ARRIVED:
                return ''
            if now - window >= _STALL_WINDOW:
                if abs(opening - window_width) < _STALL_SHARE * speed * (now - window):
                    return ''
                window, window_width = now, opening
            if now - began > _TIMEOUT:
                return f'not there after {_TIMEOUT:g} s'
        return 'the node ends'


def _tell(handle: Any, feedback: Any, width: float) -> None:  # noqa: ANN401
    """Publish the width as feedback; a GripperCommand calls it position."""
    setattr(feedback, 'current_width' if hasattr(feedback, 'current_width') else 'position', width)
    handle.publish_feedback(feedback)


def _end(handle: Any, result: Any, succeeded: bool) -> Any:  # noqa: ANN401
    """Close a goal and return its result."""
    if handle.is_cancel_requested:
        handle.canceled()
    elif succeeded:
        handle.succeed()
    else:
        handle.abort()
    return result
