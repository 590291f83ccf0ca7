# SPDX-License-Identifier: Apache-2.0
"""Decides what reaches the arm: one limited motion per good plan, and otherwise a hold.

No ROS and no clock here: the caller hands in what plans say, what was measured and the time, and
gets targets back through a function. All times are nanoseconds of one clock.

To *hold* means: the target becomes the last measured pose, once, and stays there. What the next
good plan sets right (an old image, a refused plan, a measured pose that comes late) ends by itself.
What says that the arm, its surroundings or the clock are not what they were thought to be needs
somebody who looks and calls ``start``: an arm far from its target or suddenly elsewhere, measured
poses that are no numbers, a clock that jumps back, a second one who commands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import check_state
from vjepa_ros.ages import check_age
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.motion import limited_target, Pose, Trajectory
from vjepa_ros.pose_monitor import PoseMonitor

State = npt.NDArray[np.float64]

_SECOND = 1_000_000_000  # [ns]
_LONGEST_TICK = _SECOND // 20  # [ns] a motion advances by at most this, however late a tick comes
_CLOCK_JITTER = _SECOND // 100  # [ns] a clock may step back by this, as when it is adjusted

_LOOK_AND_START = 'Look what happened, then call the service start.'

_PUSHED_DISTANCE = 0.004  # [m] from where it settled; a joint servo may creep less than that


class GateState(IntEnum):
    """What the gate does; the numbers are those of vjepa_msgs/Status."""

    WAITING = 0
    IDLE = 1
    EXECUTING = 2
    HOLDING = 3
    STOPPED = 4
    E_STOPPED = 5


_ACCEPTS_PLANS = (GateState.IDLE, GateState.HOLDING)
_NEEDS_OPERATOR = (GateState.STOPPED, GateState.E_STOPPED)


@dataclass(frozen=True)
class PlannedStep:
    """The part of a plan that is executed.

    Attributes:
        action: First action, shape (7,).
        state: Measured state that the plan starts from, shape (7,).
        stamp: When its image was taken [ns].
        goal_id: Goal that was planned for.
    """

    action: npt.NDArray[np.float64]
    state: npt.NDArray[np.float64]
    stamp: int
    goal_id: str = ''


class CommandGate:
    """Lets good plans move the arm one step at a time, and holds it on everything else.

    Attributes:
        config: Limits; may be replaced at any time and count from the next motion on.
        state: What it does now.
        reason: Why, in words.
        accepted: Plans that moved the arm.
        rejected: Plans that were refused.
        goal_id: Goal of the last plan.
        plan_stamp: Stamp of the image of the last plan, taken or refused [ns].
        settled: When arm and gripper came to rest [ns]; None while they move.
        gripper_busy: Set by whoever commands the gripper; a motion is complete when it is False.
    """

    def __init__(
        self,
        config: GateConfig,
        send_target: Callable[[Pose], None],
        move_gripper: Callable[[float, float], None] | None = None,
        *,
        started: bool = False,
    ) -> None:
        """Begin stopped, or waiting for the first measured pose if ``started``.

        Args:
            config: Limits.
            send_target: Called with every pose that the arm shall go to.
            move_gripper: Called once per motion, when the arm has arrived, with the closedness
                that is wanted (0 open .. 1 closed) and the planned change that leads there.
            started: Whether plans are accepted without a call of ``start``.
        """
        self.config = config
        self.state = GateState.WAITING if started else GateState.STOPPED
        self.reason = 'no measured pose yet' if started else 'not started: call the service start'
        self.accepted = self.rejected = 0
        self.goal_id = ''
        self.plan_stamp = 0
        self.settled: int | None = None
        self.gripper_busy = False
        self._send_target = send_target
        self._move_gripper = move_gripper
        self._arm = PoseMonitor()
        self._settled_pose: Pose | None = None
        self._motion: Trajectory | None = None
        self._grip: tuple[float, float] | None = None  # what move_gripper is called with
        self._elapsed = 0  # [ns] of the motion
        self._deadline = 0  # [ns] of the motion, at which it must be complete
        self._now = self._last_tick = 0

    # -- what comes in -------------------------------------------------------------------------

    def measure(self, pose: Pose, now: int) -> None:
        """Take a measured pose of the end effector; one that cannot be true stops the arm."""
        self._see_time(now)
        if doubt := self._arm.doubt(pose, now):
            self.distrust(doubt)
        if pose.is_finite():
            self._arm.measure(pose, now)

    def distrust(self, reason: str) -> None:
        """Stop, because measurements cannot be true: hold the last pose before them.

        An arm at rest gets no new target: it is where it was sent, or somebody moved it.
        """
        if self.state is GateState.IDLE:
            self.state = GateState.WAITING
        self.stop(f'{reason} {_LOOK_AND_START}')

    def submit(self, step: PlannedStep, now: int) -> bool:
        """Start the motion of a plan, or refuse it.

        Args:
            step: What the plan wants.
            now: Present time [ns].

        Returns:
            Whether the motion begins.
        """
        self._see_time(now)
        if self.state is GateState.EXECUTING:
            self.rejected += 1  # planned without waiting for the arm: the motion goes on
            return False
        try:
            measured, target, cuts = self._checked(step, now)
        except InvalidInputError as error:
            self.refuse(str(error), step.stamp)
            return False
        end = Pose(target[:3], geometry.euler_to_quaternion_xyzw(target[3:6]))
        self._motion, self._elapsed = Trajectory(measured, end, self.config), 0
        self._deadline = round((self._motion.duration + self.config.settle_timeout) * _SECOND)
        self._grip = float(target[6]), float(step.action[6])
        self.accepted += 1
        self.plan_stamp, self.goal_id = step.stamp, step.goal_id
        self.state, self.reason, self.settled = GateState.EXECUTING, cuts, None
        return True

    def refuse(self, reason: str, stamp: int) -> None:
        """Count a plan that cannot be used, and hold because of it.

        Args:
            reason: What is wrong with it.
            stamp: When its image was taken [ns].
        """
        self.rejected += 1
        self.plan_stamp = stamp
        self.hold(f'plan refused: {reason}')

    # -- services ------------------------------------------------------------------------------

    def start(self) -> None:
        """Accept plans from now on.

        Raises:
            InvalidInputError: The emergency stop is latched.
        """
        if self.state is GateState.E_STOPPED:
            raise InvalidInputError(
                'the emergency stop is latched. Call release_e_stop first, then start.'
            )
        if self.state is GateState.STOPPED:
            self.state, self.reason = GateState.WAITING, 'started'

    def stop(self, reason: str = 'stopped: call the service start') -> None:
        """Hold, and accept no plan until started again."""
        if self.state is not GateState.E_STOPPED:
            self._hold_as(GateState.STOPPED, reason)

    def e_stop(self) -> None:
        """Hold, and accept neither plan nor start until released."""
        self._hold_as(
            GateState.E_STOPPED, 'emergency stop: call release_e_stop, then start, to go on'
        )

    def release_e_stop(self) -> None:
        """Turn an emergency stop into an ordinary one."""
        if self.state is GateState.E_STOPPED:
            self.state = GateState.STOPPED
            self.reason = 'emergency stop released: call the service start'

    def hold(self, reason: str) -> None:
        """Hold until a good plan comes; without effect while an operator is needed anyway."""
        if self.state not in _NEEDS_OPERATOR:
            self._hold_as(GateState.HOLDING, reason)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Send the target that is due and watch what must not happen; call it at a steady rate."""
        self._see_time(now)
        passed, self._last_tick = self._now - self._last_tick, self._now
        if self.state is GateState.EXECUTING:
            self._follow(now)  # begins with the pose that the arm is in
            self._elapsed += min(max(passed, 0), _LONGEST_TICK)
        else:
            self._watch(now)

    def _see_time(self, now: int) -> None:
        """Notice that the clock jumped back: nothing that was measured until now counts then."""
        if now < self._now - _CLOCK_JITTER:
            self.stop(f'the clock jumped back. {_LOOK_AND_START}')
            self._arm.forget()
            self.settled = None
            self._now = self._last_tick = now
        self._now = max(self._now, now)

    def _follow(self, now: int) -> None:
        """Send the next target of the motion; end the motion, or hold when it goes wrong."""
        assert self._motion is not None
        assert self._arm.pose is not None
        elapsed = self._elapsed / _SECOND
        late = elapsed - self._motion.duration
        target = self._motion.at(elapsed)
        error = target.distance(self._arm.pose)
        if not self._is_fresh(now):
            self.hold(f'no measured pose for {self._arm.age(now):.2f} s while the arm moved')
        elif error > self.config.max_tracking_error:
            self.stop(
                f'the arm is {error:.3f} m from its target: is it blocked? {_LOOK_AND_START}'
            )
        elif late < _LONGEST_TICK / _SECOND:  # the last target is sent at least once
            self._send_target(target)
        elif self.gripper_busy:  # which has a timeout of its own, and may shake the arm
            self._deadline = self._elapsed + round(self.config.settle_timeout * _SECOND)
        elif self._at_rest(now) and error <= self.config.settle_tolerance:
            self._complete(now)
        elif self._elapsed > self._deadline:
            self.hold(f'the arm did not settle: it is {error:.3f} m from its target')

    def _complete(self, now: int) -> None:
        """The arm has arrived: let the gripper move, and then end the motion."""
        grip, self._grip = self._grip, None
        if grip is not None and self._move_gripper is not None:
            self._move_gripper(*grip)  # whether it moves is known at the next tick
        else:
            self.state = GateState.IDLE
            self._settle(now)

    def _watch(self, now: int) -> None:
        """Between motions: know whether the arm is measured, and since when it rests."""
        fresh = self._is_fresh(now)
        if self.settled is None and self._at_rest(now):
            self._settle(now)
        elif not fresh or self._was_pushed():
            self.settled = None
        if fresh and self.state is GateState.WAITING:
            self.state, self.reason = GateState.IDLE, ''
        elif not fresh and self.state in _ACCEPTS_PLANS:
            self.state = GateState.WAITING
            self.reason = 'no measured pose any more: is the robot or the simulator running?'

    # -- inside --------------------------------------------------------------------------------

    def _checked(self, step: PlannedStep, now: int) -> tuple[Pose, State, str]:
        """Return measured pose, target state and what was cut; raise why the plan is refused."""
        pose = self._arm.pose
        if self.state not in _ACCEPTS_PLANS or pose is None or not self._is_fresh(now):
            raise InvalidInputError(f'the arm is not ready: {self.reason or "no measured pose"}.')
        check_age('its image', step.stamp, now, self.config.plan_max_age)
        if self.settled is None or step.stamp <= self.settled:
            raise InvalidInputError('its image was taken before the arm had come to rest.')
        state = check_state(step.state, 'state of the plan')
        begin = Pose(state[:3], geometry.euler_to_quaternion_xyzw(state[3:6]))
        offset, turn = pose.distance(begin), pose.angle(begin)
        if offset > self.config.state_tolerance or turn > self.config.state_tolerance_rotation:
            raise InvalidInputError(
                f'the arm is {offset:.3f} m and {turn:.2f} rad from where the plan starts, allowed '
                f'are {self.config.state_tolerance:g} m and '
                f'{self.config.state_tolerance_rotation:g} rad.'
            )
        return pose, *limited_target(state, step.action, self.config)

    def _hold_as(self, state: GateState, reason: str) -> None:
        """Enter a state in which the arm holds; the target is set only if that is new."""
        pose = self._arm.pose
        if self.state in (GateState.IDLE, GateState.EXECUTING) and pose is not None:
            self._send_target(pose)
            self.settled = None
        self._motion = self._grip = None
        self.state, self.reason = state, reason

    def _settle(self, now: int) -> None:
        self.settled, self._settled_pose = now, self._arm.pose

    def _was_pushed(self) -> bool:
        """Return whether the arm is no longer where it settled."""
        if self._settled_pose is None or self._arm.pose is None:
            return False
        return self._settled_pose.distance(self._arm.pose) > _PUSHED_DISTANCE

    def _is_fresh(self, now: int) -> bool:
        return self._arm.age(now) <= self.config.state_max_age

    def _at_rest(self, now: int) -> bool:
        return self._arm.at_rest(now, self.config.state_max_age)
