# SPDX-License-Identifier: Apache-2.0
"""Which executor spins a node, and the one for nodes in which a callback waits for another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    MultiThreadedExecutor,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
)
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.task import Task

try:
    from rclpy.experimental.events_executor import EventsExecutor
except ImportError:  # Jazzy before April 2025
    EventsExecutor = None

_DESTROYED_TIMER = 'timer argument is null'


def make_executor(threads: int, awaits: bool) -> Executor:
    """Return what spins a node.

    With one thread that is rclpy's executor of events where there is one: it takes less than half
    of the processor time per message, because it does not gather everything that a node has
    before it waits.

    Args:
        threads: That the callbacks need.
        awaits: Whether one of them is a coroutine, which the executor of events cannot go on with
            in rclpy 7.1.6.
    """
    if threads > 1:
        return ThreadPoolExecutor(threads)
    return SingleThreadedExecutor() if awaits or EventsExecutor is None else EventsExecutor()


class ThreadPoolExecutor(MultiThreadedExecutor):
    """rclpy 7.1's multi-threaded executor without three of its faults.

    - It leaves it to a thread of the pool to take a message. Until that happens it does not wait:
      with rmw_fastrtps its waits were seen to return at once, with nothing ready (perhaps for the
      events of the subscription), and what is to be begun is handed over again and again. In
      every turn it gives the interpreter lock back for so short a time that the other thread may
      not get it: for up to 0.6 s nothing else in the process ran, publishers of measurements
      included. Here the thread that waits also takes, and hands every task over once.
    - Its ``shutdown`` returns at once, and callbacks then fail on what is destroyed below them.
      Here it waits for callbacks, as is documented of it.
    - It does not expect that another thread destroys what it is about to wait for, as happens to
      actions, events of subscriptions and timers.
    """

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Take what is ready and hand it to a thread.

        Raises:
            Exception: What a callback raised that has ended since.
        """
        try:
            super().spin_once(timeout_sec)
        except InvalidHandle:
            pass
        except rclpy_implementation.RCLError as error:
            if _DESTROYED_TIMER not in str(error):
                raise

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Wait for the callbacks, and end."""
        self._executor.shutdown(wait=True)
        return super().shutdown(timeout_sec)

    def _spin_once_impl(
        self,
        timeout_sec: Any = None,  # noqa: ANN401 - of a type that is not public
        wait_condition: Callable[[], bool] = lambda: False,
    ) -> None:
        try:
            task, entity, node = self.wait_for_ready_callbacks(timeout_sec, None, wait_condition)
        except (
            ExternalShutdownException,
            ShutdownException,
            TimeoutException,
            ConditionReachedException,
        ):
            return
        with self._tasks_lock:  # what is in this list is yielded in every turn
            self._tasks = [one for one in self._tasks if one[0] is not task]
        self._executor.submit(self._run, task, entity, node)
        self._futures.append(task)
        for future in [future for future in self._futures if future.done()]:
            self._futures.remove(future)
            future.result()  # raises what the callback raised

    def _make_handler(
        self,
        entity: Any,  # noqa: ANN401 - any of what can be waited for
        node: Any,  # noqa: ANN401
        take_from_wait_list: Callable[[Any], Callable[[], Awaitable[None]] | None],
    ) -> Task:
        """Take what is there, and return the task that gives it to the callback."""
        group = entity.callback_group
        group.beginning_execution(entity)  # nobody else does, and the caller saw that it may
        try:
            execute = take_from_wait_list(entity)
        except Exception:
            group.ending_execution(entity)  # or the group would be silent for ever
            raise

        async def handle() -> None:
            try:
                with self._work_tracker:
                    if execute is not None:
                        await execute()
            finally:
                group.ending_execution(entity)
                self._guard.trigger()  # the next callback of the group may begin

        return Task(handle, executor=self)

    def _run(self, task: Task, entity: Any, node: Any) -> None:  # noqa: ANN401 - None for a task
        task()
        if not task.done():  # it awaits something: look again in the next turn
            with self._tasks_lock:
                self._tasks.append((task, entity, node))
            self._guard.trigger()
