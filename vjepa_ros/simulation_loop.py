# SPDX-License-Identifier: Apache-2.0
"""The embedded simulation in real time, on a thread of its own. No ROS here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import logging
import threading
import time
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from vjepa_planner.simulation import CONTROL_PERIOD, FrankaSimulation
from vjepa_planner.types import Image

Float64Array = npt.NDArray[np.float64]
Result = TypeVar('Result')
Command = Callable[[FrankaSimulation], None]

_MAX_BEHIND = 0.15  # [s] a loop that is further behind than this drops the time it has lost
_MAX_COMMANDS = 256

_log = logging.getLogger(__name__)


class Pacer:
    """Says which periods are due, so that on average they keep step with the wall clock.

    Attributes:
        factor: Simulated seconds per second of wall time.
    """

    def __init__(self, period: float, factor: float, now: float) -> None:
        """Begin now.

        Args:
            period: Of the simulation [s].
            factor: Simulated seconds per second of wall time.
            now: Present steady time [s].
        """
        self.factor = factor
        self._period = period
        self._next = now

    def due(self, now: float) -> list[float]:
        """Return when the periods that are due were due [s], oldest first, and tick them off."""
        if now - self._next > _MAX_BEHIND:
            self._next = now
        times = []
        while self._next <= now:
            times.append(self._next)
            self._next += self._period / self.factor
        return times

    def wait(self, now: float) -> float:
        """Return the time until the next period is due [s]."""
        return max(0.0, self._next - now)


@dataclass(frozen=True)
class ArmMeasurement:
    """What the arm's sensors say at one instant.

    Attributes:
        time: Simulated time since the start [s]; goes on over resets.
        moment: Steady time of which it is [s]; earlier than now where the loop is late.
        position: Of the tool centre point in the base frame, shape (3,) [m].
        quaternion: Its orientation xyzw, shape (4,).
        joint_positions: Shape (9,) [rad, m].
        joint_velocities: Shape (9,) [rad/s, m/s].
    """

    time: float
    moment: float
    position: Float64Array
    quaternion: Float64Array
    joint_positions: Float64Array
    joint_velocities: Float64Array


class Controller(Protocol):
    """What moves the targets of the arm by itself while time passes, as an arm's controller does.

    Its methods are called between two steps, on the thread of whoever calls.
    """

    def step(self, simulation: FrankaSimulation) -> None:
        """Set the target of the next control period, or leave it."""

    def reset(self) -> None:
        """Forget what was commanded: the arm is elsewhere."""


class SimulationLoop:
    """Steps the simulation in real time, obeys the newest targets and hands out what it measures.

    The target of the arm is latched: if no new one comes, the arm stays where it was told to be.

    Attributes:
        image_rate: Images per simulated second; 0 for none.
        controller: Asked before every step, if there is one.
    """

    def __init__(
        self,
        simulation: FrankaSimulation,
        on_measurement: Callable[[ArmMeasurement], None],
        on_image: Callable[[Image, float, float], None],
        *,
        factor: float = 1.0,
        image_rate: float = 5.0,
    ) -> None:
        """Begin to step ``simulation``, which belongs to the loop from now on.

        Args:
            simulation: What is stepped.
            on_measurement: Called on the thread of the loop after every step, and when it catches
                up after the last one only: those before are of times that are over, and at once
                they would look like an arm that jumps.
            on_image: Called likewise with every image, its simulated time and its moment [s].
            factor: Simulated seconds per second of wall time.
            image_rate: Images per simulated second.
        """
        self.image_rate = image_rate
        self.controller: Controller | None = None
        self._simulation = simulation
        self._on_measurement = on_measurement
        self._on_image = on_image
        self._pacer = Pacer(CONTROL_PERIOD, factor, time.monotonic())
        self._commands: deque[tuple[float, Command]] = deque(maxlen=_MAX_COMMANDS)
        self._stepped = threading.Condition()  # guards the simulation; notified after every step
        self._time = 0.0
        self._moment = time.monotonic()  # of the last step
        self._next_image = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='simulation', daemon=True)
        self._thread.start()

    # -- from other threads --------------------------------------------------------------------

    def set_factor(self, factor: float) -> None:
        """Change how many simulated seconds pass per second of wall time."""
        self._pacer.factor = factor

    def set_target_pose(self, position: Float64Array, quaternion: Float64Array) -> None:
        """Send the tool centre point to a pose (3,) [m], (4,) xyzw, see :meth:`command`."""
        self.command(lambda simulation: simulation.set_target_pose(position, quaternion))

    def command(self, command: Command) -> None:
        """Do something to the simulation before the first step that is due from now on.

        Commands keep the time at which they came, so that a loop that catches up after an image
        follows the same path as one that was never late. They must not raise.
        """
        self._commands.append((time.monotonic(), command))

    def set_gripper_target(self, width: float, speed: float, force: float) -> None:
        """Move the gripper to ``width`` [m] at ``speed`` [m/s] with up to ``force`` [N].

        Raises:
            InvalidInputError: A number is not finite, or speed or force is not positive.
        """
        with self._stepped:
            self._simulation.set_gripper_target(width, speed, force)

    def gripper_width(self) -> float:
        """Return the opening of the gripper [m]."""
        with self._stepped:
            return self._simulation.gripper_width()

    def reset(self, seed: int) -> None:
        """Start a new episode; commands that have not taken effect are dropped."""
        self.rearrange(lambda simulation: simulation.reset(seed))

    def rearrange(self, change: Callable[[FrankaSimulation], Result]) -> Result:
        """Change the scene between two steps, and return what ``change`` returns.

        Commands that have not taken effect are dropped: they were meant for the scene before.
        """
        with self._stepped:
            self._commands.clear()
            if self.controller is not None:
                self.controller.reset()
            return change(self._simulation)

    def inspect(self, look: Callable[[FrankaSimulation], Result]) -> Result:
        """Return what ``look`` says of the simulation between two steps."""
        with self._stepped:
            return look(self._simulation)

    def wait_for_step(self, timeout: float = 1.0) -> float:
        """Wait for the next step, at most ``timeout`` [s], and return the simulated time [s]."""
        with self._stepped:
            self._stepped.wait(timeout)
            return self._time

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.join()
        self._simulation.close()

    # -- on the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closed:
                self._step(self._pacer.due(time.monotonic()))
                time.sleep(self._pacer.wait(time.monotonic()))
        except Exception:
            if not self._closed:  # a publisher that is gone already, while everything ends
                _log.exception('the simulation stopped')

    def _step(self, due: list[float]) -> None:
        for moment in due:
            with self._stepped:
                while self._commands and self._commands[0][0] <= moment:
                    self._commands.popleft()[1](self._simulation)
                if self.controller is not None:
                    self.controller.step(self._simulation)
                self._simulation.advance(CONTROL_PERIOD)
                self._time += CONTROL_PERIOD
                self._moment = moment
                self._stepped.notify_all()
        if due:
            with self._stepped:
                measurement = self._measure()
            self._on_measurement(measurement)
        if self.image_rate > 0.0 and self._time >= self._next_image:
            self._next_image = max(self._next_image + 1.0 / self.image_rate, self._time)
            with self._stepped:
                image, simulated = self._simulation.render(), self._time
            self._on_image(image, simulated, self._moment)

    def _measure(self) -> ArmMeasurement:
        position, quaternion = self._simulation.ee_pose()
        return ArmMeasurement(
            self._time,
            self._moment,
            position,
            quaternion,
            self._simulation.joint_positions(),
            self._simulation.joint_velocities(),
        )
