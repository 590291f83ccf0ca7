# SPDX-License-Identifier: Apache-2.0
"""How every executable starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import signal
from types import FrameType

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from vjepa_planner.errors import VjepaPlannerError

_SIGNAL_LATENCY = 0.2  # [s] at most until a signal is noticed


def run(make_nodes: Callable[[], Sequence[Node]], *, threads: int = 1) -> int:
    """Spin nodes until Ctrl-C or SIGTERM and return the exit code of the process.

    Signals are handled here and not by rclpy, which would shut the context down at once: a node
    can still say its last word in ``destroy_node``, such as the commander its hold.

    Args:
        make_nodes: Returns the nodes. It may raise a VjepaPlannerError, which ends the process
            with that one line and exit code 1.
        threads: Threads of the executor. More than one is for nodes in which a callback waits for
            another one; see their modules.
    """
    stop = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    nodes: Sequence[Node] = ()
    executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
    try:
        nodes = make_nodes()
        for node in nodes:
            executor.add_node(node)
        while not stop and rclpy.ok():
            executor.spin_once(timeout_sec=_SIGNAL_LATENCY)
    except (VjepaPlannerError, ParameterException) as error:
        get_logger('vjepa').fatal(str(error))
        return 1
    finally:
        executor.shutdown(timeout_sec=1.0)
        for node in nodes:
            node.destroy_node()
        try_shutdown()
    return 0
