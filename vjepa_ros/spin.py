# SPDX-License-Identifier: Apache-2.0
"""How every executable starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import signal
import threading
import time
from types import FrameType

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from vjepa_planner.errors import VjepaPlannerError
from vjepa_ros.executor import make_executor
from vjepa_ros.node import VjepaNode

_LATENCY = 0.2  # [s] at most until an executor with nothing to do notices its end
_LOOK_PERIOD = 0.02  # [s] after which a signal is noticed
_LAST_WORD = 0.5  # [s] at most for the last messages to arrive


def run(make_nodes: Callable[[], Sequence[VjepaNode]]) -> int:
    """Spin nodes until Ctrl-C or SIGTERM and return the exit code of the process.

    Signals are handled here and not by rclpy, which would shut the context down at once: so a node
    can still say its last word, such as the commander its hold.

    Args:
        make_nodes: Returns the nodes, in the order in which they are to end; they begin in the
            opposite one. It may raise a VjepaPlannerError, and so may they: that ends the process
            with that one line and exit code 1.
    """
    stop, spinning = False, False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = True  # no threading.Event: to set one here may wait for the thread that is here
        if not spinning:  # a large model takes a while to load
            raise KeyboardInterrupt

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        nodes = make_nodes()
        for node in reversed(nodes):
            node.begin()
        spinning = True
        spun = [SpunNode(node) for node in nodes]
        while not (stop or any(one.failed for one in spun)) and rclpy.ok():
            if all(node.is_finalized for node in nodes):
                break
            time.sleep(_LOOK_PERIOD)
        end(spun)
    except KeyboardInterrupt:
        pass
    except (VjepaPlannerError, ParameterException) as error:
        get_logger('vjepa').fatal(str(error))
        return 1
    finally:
        try_shutdown()
    return 0


class SpunNode:
    """A node with an executor and a thread of its own.

    Not one executor for all nodes of a process: rclpy's multi-threaded one looks at every entity
    of every node in each of its threads' turns, and the interpreter lock does the rest. At 30
    images a second four nodes in one such executor took 7 of 720 as far as a command.
    """

    def __init__(self, node: VjepaNode) -> None:
        """Spin a node; it says how many threads its callbacks need."""
        self.node = node
        self._executor = make_executor(node.threads, node.awaits)
        self._executor.add_node(node)
        self._error: Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._spin, name=node.get_name())
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether a callback has raised, which ended the spinning."""
        return self._error is not None

    def close(self) -> None:
        """Take no more callbacks, and close the node; callbacks that wait for something go on."""
        self._stopped = True
        self._thread.join()
        self.node.close()

    def finish(self) -> None:
        """Let callbacks end, after :meth:`close`.

        Raises:
            Exception: What a callback raised that ended the spinning.
        """
        self._executor.spin_once(timeout_sec=0.0)  # who awaits what was cancelled may answer
        self._executor.shutdown()
        if self._error is not None:
            raise self._error

    def _spin(self) -> None:
        try:
            while not self._stopped:
                self._executor.spin_once(timeout_sec=_LATENCY)
        except Exception as error:  # raised again by who ends the node
            self._error = error


def end(spun: Sequence[SpunNode]) -> None:
    """Close nodes, let callbacks finish and last words arrive, and destroy the nodes.

    Raises:
        Exception: What a callback raised that ended the spinning.
    """
    for one in spun:  # the commander is first, and waits for none of the others
        one.close()
    try:
        for one in spun:
            one.finish()
    finally:
        _deliver([one.node for one in spun])
        for one in spun:
            one.node.destroy_node()


def _deliver(nodes: Sequence[VjepaNode]) -> None:
    """Wait until subscribers have what was said: a publisher takes the rest with it."""
    deadline = time.monotonic() + _LAST_WORD
    for publisher in (publisher for node in nodes for publisher in node.publishers):
        publisher.wait_for_all_acked(Duration(seconds=max(0.0, deadline - time.monotonic())))
