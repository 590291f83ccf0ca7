# SPDX-License-Identifier: Apache-2.0
"""How a launch file leads managed nodes through their lifecycle.

All are configured at the same time, because models take a while to load; each is activated once
the one before it is active. A node that cannot be configured holds up those after it: when it has
been configured by hand, the launch goes on. At the end the last one comes first: the commander.

States are asked for, and not taken from the events that launch_ros has for them: until two
processes have discovered each other, an event or a request may be lost without a trace.
"""

from __future__ import annotations

from collections.abc import Sequence
import time
from typing import Any

from launch import Action, Event, LaunchContext
from launch.actions import OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.task import Future

_PERIOD = 0.1  # [s] between two looks
_PATIENCE = 5.0  # [s] after which a request is taken for lost
_LONGEST_HOLD = 1.0  # [s] that the end of all others waits for the end of the last one


class BringUp:
    """Brings nodes up in order, and lets the last one rest before all end."""

    def __init__(self, nodes: Sequence[LifecycleNode]) -> None:
        """Take the actions of the nodes, in the order in which they become active."""
        self._actions = nodes
        self._nodes: list[_RemoteNode] = []

    def actions(self) -> list[Action]:
        """Return what is to be done after the nodes have been started."""
        return [
            OpaqueFunction(function=self._begin),
            # After the nodes: of the handlers of an event, the newest is called first.
            RegisterEventHandler(OnShutdown(on_shutdown=self._end)),
        ]

    def _begin(self, context: LaunchContext) -> None:
        node = get_ros_node(context)
        self._nodes = [_RemoteNode(node, action.node_name) for action in self._actions]
        loop = context.asyncio_loop
        context.add_completion_future(loop.run_in_executor(None, self._bring_up, context))

    def _bring_up(self, context: LaunchContext) -> None:
        waiting = list(self._nodes)
        while waiting and not context.is_shutdown:
            for node in waiting:
                node.go_on(may_activate=node is waiting[0])
            waiting = [node for node in waiting if not node.was_active]
            time.sleep(_PERIOD)

    def _end(self, _event: Event, _context: LaunchContext) -> None:
        """Deactivate the last node before the others are told to end; nothing else happens then.

        Ctrl-C in a terminal reaches all processes at once, whatever is done here.
        """
        nodes, self._nodes = self._nodes, []  # the end of each process asks for the end of all
        if nodes:
            nodes[-1].deactivate(_LONGEST_HOLD)


class _RemoteNode:
    """A managed node as its services show it."""

    def __init__(self, node: Node, name: str) -> None:
        self.was_active = False
        self._name = name
        self._logger = get_logger('bring_up')
        state = node.create_client(GetState, f'{name}/get_state')
        self._change = node.create_client(ChangeState, f'{name}/change_state')
        self._state = _Call(state, GetState.Request())
        self._calls = {
            State.PRIMARY_STATE_UNCONFIGURED: self._transition(Transition.TRANSITION_CONFIGURE),
            State.PRIMARY_STATE_INACTIVE: self._transition(Transition.TRANSITION_ACTIVATE),
        }

    def go_on(self, *, may_activate: bool) -> None:
        """Look what state it is in, and ask for the transition that is due, until it answers."""
        answer = self._state.poll()
        if answer is None:  # also while it loads a model
            return
        state = answer.current_state.id
        if state == State.PRIMARY_STATE_ACTIVE:
            self.was_active = True
            self._logger.info(f'{self._name} is active')
        elif state == State.PRIMARY_STATE_UNCONFIGURED or may_activate:
            self._ask(state)

    def deactivate(self, timeout: float) -> None:
        """Deactivate it, if it works, and wait for that at most ``timeout`` [s]."""
        if not (self.was_active and self._change.service_is_ready()):
            return
        call = self._transition(Transition.TRANSITION_DEACTIVATE)
        deadline = time.monotonic() + timeout
        while call.poll() is None and time.monotonic() < deadline:
            time.sleep(_PERIOD / 10)

    def _ask(self, state: int) -> None:
        """Ask for the transition that leads on; one that fails is left to who reads why."""
        call = self._calls.get(state)
        answer = None if call is None else call.poll()
        if answer is not None:
            del self._calls[state]
            if not answer.success:
                self._logger.error(
                    f'{self._name} failed to come up, see above. Set right what is wrong and '
                    f'call: ros2 lifecycle set {self._name} configure (or activate). The launch '
                    'goes on then.'
                )

    def _transition(self, number: int) -> _Call:
        request = ChangeState.Request()
        request.transition.id = number
        return _Call(self._change, request)


class _Call:
    """A request that is repeated until its answer is there."""

    def __init__(self, client: Any, request: Any) -> None:  # noqa: ANN401 - any service
        self._client = client
        self._request = request
        self._future: Future | None = None
        self._sent = 0.0  # steady time [s]

    def poll(self) -> Any:  # noqa: ANN401 - the service's
        """Return the answer if it is there, else None."""
        if self._future is not None and self._future.done():
            answer, self._future = self._future.result(), None
            return answer
        lost = time.monotonic() - self._sent > _PATIENCE
        if (self._future is None or lost) and self._client.service_is_ready():
            if self._future is not None:
                self._client.remove_pending_request(self._future)
            self._future = self._client.call_async(self._request)
            self._sent = time.monotonic()
        return None
