# SPDX-License-Identifier: Apache-2.0
"""Managed nodes: what the transitions of a ROS 2 lifecycle do to ours, and who asks for them.

``configure`` takes the parameters, loads the model and makes the endpoints; ``activate`` begins to
work; ``deactivate`` ends that, ``cleanup`` gives everything back, ``shutdown`` ends the process.

A transition runs where the callbacks of its node do, so that no other callback of the node sees
half of it. The price: the heartbeat pauses while a model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
import threading
import traceback
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn

from vjepa_msgs.msg import Status
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_ros.endpoints import destroy_endpoint, endpoints
from vjepa_ros.node import VjepaNode

_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR

_NAMES = {
    Transition.TRANSITION_CONFIGURE: 'configure',
    Transition.TRANSITION_CLEANUP: 'cleanup',
    Transition.TRANSITION_ACTIVATE: 'activate',
    Transition.TRANSITION_DEACTIVATE: 'deactivate',
}

NOT_WORKING = ('starting', 'not configured', 'not active')
"""What the reason of a status begins with while a managed node does not work."""


class ManagedNode(LifecycleNodeMixin, VjepaNode):
    """A node with a lifecycle. What it does in each transition is in the methods to override.

    Attributes:
        inactive: Set unless the node is active; callbacks that wait for something return then.
        is_configured: Whether the parameters that are fixed then are in use.
        is_configuring: Whether :meth:`configure` is at work.
        is_finalized: Whether the node has been shut down.
        rest_reason: Why the node does not work, or did not when it last did not.
    """

    def __init__(self, name: str) -> None:
        """Create the node ``name``, unconfigured."""
        VjepaNode.__init__(self, name)
        LifecycleNodeMixin.__init__(self)
        self.inactive = threading.Event()
        self.inactive.set()
        self.is_configured = self.is_configuring = self.is_finalized = False
        self.rest_reason = 'starting'
        self._transition = threading.RLock()  # one transition after the other
        self._cause = ''
        self._failure: Exception | None = None
        self._made: list[Any] = []  # endpoints, by configure
        self._undo = ExitStack()
        self.declare_parameter(
            'managed',
            False,
            ParameterDescriptor(
                description='Whether a launch file or somebody else configures and activates the '
                'node; false: it does so itself when it starts',
                read_only=True,
            ),
        )
        # rclpy lets a transition that is not possible now (activate, twice) end the process.
        self._answer = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

    # -- to override ---------------------------------------------------------------------------

    def configure(self) -> None:
        """Take the parameters, load, and make endpoints, which cleanup destroys by itself.

        Whatever else is to be given back is named to :meth:`on_cleanup_call`.

        Raises:
            VjepaPlannerError: What is wrong; the node stays unconfigured.
        """

    def activate(self) -> None:
        """Begin to work; :attr:`is_active` is true already."""

    def deactivate(self) -> None:
        """End the work; :attr:`is_active` is false already."""

    def rest(self, reason: str) -> None:
        """Say why the node does not work."""
        self.rest_reason = reason
        self.status.update(state=Status.WAITING, reason=reason)

    # -- for those that override ---------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether the node works."""
        return not self.inactive.is_set()

    def check_active(self) -> None:
        """Raise unless the node is active.

        Raises:
            InvalidInputError: It is not; the message says how to change that.
        """
        if not self.is_active:
            raise InvalidInputError(
                f'the {self.get_name()} is {self.rest_reason}. Activate it first: '
                f'ros2 lifecycle set {self.get_fully_qualified_name()} activate'
            )

    def on_cleanup_call(self, function: Callable[..., object], *arguments: object) -> None:
        """Let cleanup call a function, also if configure fails; the last one named comes first."""
        self._undo.callback(function, *arguments)

    # -- who asks ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Configure and activate, or wait for a manager if the parameter ``managed`` says so.

        Raises:
            VjepaPlannerError: Configuring failed.
        """
        with self._transition:
            if self.is_configured:
                return
            if self.get_parameter('managed').value:
                self.rest('not configured: managed is true, so it waits for configure')
                return
            self._cause = 'managed is false, so it brings itself up'
            for trigger in (self.trigger_configure, self.trigger_activate):
                if trigger() != _SUCCESS:
                    assert self._failure is not None
                    raise self._failure

    def close(self) -> None:
        """Shut down, whatever the state."""
        with self._transition:
            super().close()
            self._cause = 'the process ends'
            if not self.is_finalized:
                self.trigger_shutdown()

    def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        with self._transition:
            self._cause, self._failure = 'change_state was called', None
            number = request.transition.id
            name = request.transition.label or _NAMES.get(number, f'transition {number}')
            _, before = self._state_machine.current_state
            try:
                response = self._answer(request, response)
            except rclpy_implementation.RCLError:
                response.success = False
        if not response.success:
            why = self._failure or f'not possible in the state {before}.'
            self.get_logger().error(f'{name} failed: {why}')
        return response

    # -- the transitions: what an exception means, rclpy does not say, so none leaves them --------

    def on_configure(self, _previous: LifecycleState) -> TransitionCallbackReturn:
        """Configure, or undo all of it."""
        self.rest('not configured: it is being configured')
        before = endpoints(self)
        self.is_configuring = True
        self.is_configured = self._try(self.configure)
        self.is_configuring = False
        self._made = [one for one in endpoints(self) if one not in before]
        if not self.is_configured:
            self._give_back()
            self.rest(f'not configured: {self._failure}')
            return _FAILURE
        return self._done('unconfigured', 'inactive', 'not active: configured')

    def on_activate(self, _previous: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work."""
        self.inactive.clear()
        if self._try(self.activate):
            self._log('inactive', 'active')
            return _SUCCESS
        self.inactive.set()
        self.rest(f'not active: {self._failure}')
        return _FAILURE

    def on_deactivate(self, _previous: LifecycleState) -> TransitionCallbackReturn:
        """End the work."""
        self.inactive.set()
        if not self._try(self.deactivate):
            return _ERROR
        return self._done('active', 'inactive', 'not active: deactivated')

    def on_cleanup(self, _previous: LifecycleState) -> TransitionCallbackReturn:
        """Give back what configure took."""
        if not self._try(self._give_back):
            return _ERROR
        return self._done('inactive', 'unconfigured', 'not configured: cleaned up')

    def on_shutdown(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """End the work and give back; endpoints stay, because other threads may use them yet."""
        if self.is_active:
            self.inactive.set()
            self._try(self.deactivate)
        self._made = []
        self._try(self._give_back)
        self.is_finalized = True
        self._log(previous.label, 'finalized')
        self.rest(f'the {self.get_name()} has ended')
        return _SUCCESS

    def on_error(self, _previous: LifecycleState) -> TransitionCallbackReturn:
        """After a transition went wrong in an unforeseen way: be as before configure."""
        self.inactive.set()
        failure = self._failure
        self._try(self._give_back)
        self.rest(f'not configured: {failure}')
        return _SUCCESS

    # -- inside --------------------------------------------------------------------------------

    def _try(self, step: Callable[[], None]) -> bool:
        """Return whether a step went well; keep what it raised."""
        try:
            step()
        except (VjepaPlannerError, ParameterException) as error:
            self._failure = error
        except Exception as error:
            self._failure = error
            self.get_logger().error(traceback.format_exc())
        else:
            return True
        return False

    def _give_back(self) -> None:
        """Undo what configure did, endpoints first."""
        self.is_configured = False
        while self._made:
            destroy_endpoint(self, self._made.pop())
        self._undo.close()

    def _done(self, before: str, after: str, reason: str) -> TransitionCallbackReturn:
        self._log(before, after)
        self.rest(reason)
        return _SUCCESS

    def _log(self, before: str, after: str) -> None:
        self.get_logger().info(f'{before} -> {after}: {self._cause}')
