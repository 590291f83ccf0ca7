# SPDX-License-Identifier: Apache-2.0
"""How every executable starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import signal
import time
from types import FrameType

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from vjepa_planner.errors import VjepaPlannerError
from vjepa_ros.node import VjepaNode

_DESTROYED_TIMER = 'timer argument is null'
_SIGNAL_LATENCY = 0.2  # [s] at most until a signal is noticed
_LAST_WORD = 0.5  # [s] at most for the last messages to arrive


def run(make_nodes: Callable[[], Sequence[VjepaNode]], *, threads: int = 1) -> int:
    """Spin nodes until Ctrl-C or SIGTERM and return the exit code of the process.

    Signals are handled here and not by rclpy, which would shut the context down at once: so a node
    can still say its last word, such as the commander its hold.

    Args:
        make_nodes: Returns the nodes, in the order in which they are to end; they begin in the
            opposite one. It may raise a VjepaPlannerError, and so may they: that ends the process
            with that one line and exit code 1.
        threads: Threads of the executor. More than one is for nodes in which a callback waits for
            something; see their modules.
    """
    stop, spinning = False, False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = True
        if not spinning:  # a large model takes a while to load
            raise KeyboardInterrupt

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        nodes = make_nodes()
        for node in reversed(nodes):
            node.begin()
        executor = make_executor(nodes, threads)
        spinning = True
        while not (stop or all(node.is_finalized for node in nodes)) and rclpy.ok():
            executor.spin_once(timeout_sec=_SIGNAL_LATENCY)
        end(executor, nodes)
    except KeyboardInterrupt:
        pass
    except (VjepaPlannerError, ParameterException) as error:
        get_logger('vjepa').fatal(str(error))
        return 1
    finally:
        try_shutdown()
    return 0


def make_executor(nodes: Sequence[VjepaNode], threads: int) -> Executor:
    """Return an executor of the nodes with this many threads."""
    executor = SingleThreadedExecutor() if threads == 1 else _WaitingExecutor(threads)
    for node in nodes:
        executor.add_node(node)
    return executor


def end(executor: Executor, nodes: Sequence[VjepaNode]) -> None:
    """Close the nodes, let callbacks finish and last words arrive, and destroy the nodes."""
    for node in nodes:
        node.close()
    executor.spin_once(timeout_sec=0.0)  # who awaits what a node has just cancelled may answer
    executor.shutdown()
    _deliver(nodes)
    for node in nodes:
        node.destroy_node()


def _deliver(nodes: Sequence[VjepaNode]) -> None:
    """Wait until subscribers have what was said: a publisher takes the rest with it."""
    deadline = time.monotonic() + _LAST_WORD
    for publisher in (publisher for node in nodes for publisher in node.publishers):
        publisher.wait_for_all_acked(Duration(seconds=max(0.0, deadline - time.monotonic())))


class _WaitingExecutor(MultiThreadedExecutor):
    """A multi-threaded executor whose shutdown waits for callbacks, as is documented of it.

    That of rclpy 7.1 returns at once, and callbacks then fail on what is destroyed below them.
    """

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Take what is ready; another thread may destroy what this one is about to wait for.

        rclpy 7.1 does not expect that of actions, events of subscriptions and timers.
        """
        try:
            super().spin_once(timeout_sec)
        except InvalidHandle:
            pass
        except rclpy_implementation.RCLError as error:
            if _DESTROYED_TIMER not in str(error):
                raise

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        self._executor.shutdown(wait=True)
        return super().shutdown(timeout_sec)
