# SPDX-License-Identifier: Apache-2.0
"""Decides what reaches the arm: limited motions of good plans, and otherwise a hold.

No ROS and no clock here: the caller hands in what plans say, what was measured and the time, and
gets targets back through a function. All times are nanoseconds of one clock.

To *hold* means: the target becomes the last measured pose, once, and stays there. What the next
good plan sets right (an old image, a refused plan, measurements that were late) ends by itself.
What says that the arm, its surroundings or the clock are not what they were thought to be needs
somebody who looks and calls ``start``: an arm far from its target or suddenly elsewhere, measured
poses that are no poses, none for long, a clock that jumps back, a second one who commands.

*Blocking*: a motion begins at the measured pose and goes on to its end; then the gripper moves;
only then the arm counts as settled and a plan from a newer image is taken. *Streaming*: a newer
plan replaces the motion at once. Its action counts from the measured state that it was planned
from, as the model imagined it, and not from where the arm has got to since; the way there
continues the present one. A motion that ends in a gripper action is finished first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import check_state
from vjepa_ros.ages import check_age
from vjepa_ros.gate_config import GateConfig
from vjepa_ros.gate_types import GateState, Hand, PlannedStep
from vjepa_ros.motion import limited_target, Pose, Velocity
from vjepa_ros.pose_monitor import PoseMonitor
from vjepa_ros.trajectory import Trajectory

State = npt.NDArray[np.float64]

_FELT = 0.03  # change of closedness
_SECOND = 1_000_000_000  # [ns]
LONGEST_TICK = _SECOND // 20
"""A motion advances by at most this, however late a tick comes [ns]."""
_CLOCK_JITTER = _SECOND // 100  # [ns] a clock may step back by this, as when it is adjusted

_LOOK_AND_START = 'Look what happened, then call the service start.'

_PUSHED_DISTANCE = 0.004  # [m] from where it settled; a joint servo may creep less than that

_ACCEPTS_PLANS = (GateState.IDLE, GateState.HOLDING)
_NEEDS_OPERATOR = (GateState.STOPPED, GateState.E_STOPPED)


class CommandGate:
    """Lets good plans move the arm within limits, and holds it on everything else.

    Attributes:
        state: What it does now.
        reason: Why, in words.
        accepted: Plans that moved the arm.
        rejected: Plans that were refused.
        goal_id: Goal of the last plan.
        plan_stamp: Stamp of the image of the last plan, taken or refused [ns].
        settled: When arm and gripper came to rest [ns]; None while they move.
    """

    def __init__(
        self,
        config: GateConfig,
        send_target: Callable[[Pose], None],
        hand: Hand | None = None,
        *,
        started: bool = False,
    ) -> None:
        """Begin stopped, or waiting for the first measured pose if ``started``.

        Args:
            config: Limits.
            send_target: Called with every pose that the arm shall go to: in the state EXECUTING
                the next target of a motion, in others where to hold.
            hand: The gripper, if there is one.
            started: Whether plans are accepted without a call of ``start``.
        """
        self.state = GateState.WAITING if started else GateState.STOPPED
        self.reason = 'no measured pose yet' if started else 'not started: call the service start'
        self.accepted = self.rejected = 0
        self.goal_id = ''
        self.plan_stamp = 0
        self.settled: int | None = None
        self._config = config
        self._send_target = send_target
        self._hand = hand
        self._arm = PoseMonitor()
        self._settled_pose: Pose | None = None
        self._motion: Trajectory | None = None
        self._sent: Pose | None = None  # the last target of the motion
        self._grip: tuple[float, float] | None = None  # closedness and change at its end
        self._elapsed = 0  # [ns] of the motion
        self._deadline = 0.0  # [s] of the motion, by which it must be complete
        self._now = self._last_tick = 0

    # -- what it knows -------------------------------------------------------------------------

    @property
    def measured(self) -> Pose | None:
        """The newest measured pose, however old; None before the first one."""
        return self._arm.pose

    @property
    def velocity(self) -> Velocity:
        """How fast the arm shall be at the last target of the motion; zero without a motion."""
        if self._motion is None:
            return Velocity.zero()
        return self._motion.velocity_at(self._elapsed / _SECOND)

    # -- what comes in -------------------------------------------------------------------------

    @property
    def config(self) -> GateConfig:
        """The limits; a motion that may not keep to new ones ends in a hold."""
        return self._config

    @config.setter
    def config(self, config: GateConfig) -> None:
        if self.state is GateState.EXECUTING and not config.allows(self._config):
            self.hold('a limit was lowered while the arm moved')
        self._config = config

    def measure(self, pose: Pose, stamp: int, now: int) -> None:
        """Take a pose of the end effector; one that cannot be true stops the arm.

        Args:
            pose: Measured pose.
            stamp: When it was measured [ns]. One that is old already, or older than the last one,
                changes nothing: it may have waited in a queue.
            now: Present time [ns].

        Raises:
            InvalidInputError: It is too old, or from the future.
        """
        self._see_time(now)
        check_age('the measured pose', stamp, now, self.config.state_max_age)
        if not self._arm.is_news(stamp):
            return
        if doubt := self._arm.doubt(pose, stamp, self.config.max_measured_speed):
            self.distrust(doubt)
        if pose.is_valid():
            self._arm.measure(pose, stamp)

    def distrust(self, reason: str) -> None:
        """Stop, because measurements cannot be true: hold the last pose before them.

        An arm at rest gets no new target: it is where it was sent, or somebody moved it.
        """
        if self.state is GateState.IDLE:
            self.state = GateState.WAITING
        self.fault(reason)

    def submit(self, step: PlannedStep, now: int) -> bool:
        """Begin the motion of a plan, or refuse it.

        Args:
            step: What the plan wants.
            now: Present time [ns].

        Returns:
            Whether the arm moves because of it.
        """
        self._see_time(now)
        if self.state is GateState.EXECUTING and not self._may_be_redirected():
            self.rejected += 1  # planned without waiting for the arm: the motion goes on
            return False
        try:
            measured, target, cuts = self._checked(step, now)
        except InvalidInputError as error:
            self.refuse(str(error), step.stamp)
            return False
        self._go(measured, Pose(target[:3], geometry.euler_to_quaternion_xyzw(target[3:6])))
        self._grip = float(target[6]), _asked_of_gripper(step, float(target[6]))
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
            self.state, self.reason = GateState.WAITING, 'started: no measured pose yet'

    def stop(self, reason: str = 'stopped: call the service start') -> None:
        """Hold, and accept no plan until started again."""
        if self.state is not GateState.E_STOPPED:
            self._hold_as(GateState.STOPPED, reason)

    def fault(self, reason: str) -> None:
        """Hold until somebody has looked and calls ``start``; the first reason is kept."""
        if self.state not in _NEEDS_OPERATOR:
            self.stop(f'{reason} {_LOOK_AND_START}')

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
        if self._hand is not None:
            self._hand.update()
        if self.state is not GateState.EXECUTING:
            self._watch(now)
        elif passed > self.config.state_max_age * _SECOND:
            self.hold(f'the commander stood still for {passed / _SECOND:.2f} s')
        else:
            self._advance(passed)
            self._follow(now)

    def _see_time(self, now: int) -> None:
        """Notice that the clock jumped back: nothing that was measured until now counts then."""
        if now < self._now - _CLOCK_JITTER:
            self.fault(f'the clock jumped back by {(self._now - now) / _SECOND:.2f} s.')
            self._arm.forget()
            self.settled = None
            self._now = self._last_tick = now
        self._now = max(self._now, now)

    def _advance(self, passed: int) -> None:
        """Let time pass for the motion; one that is new begins where the arm is now."""
        if self._sent is None:
            assert self._arm.pose is not None
            assert self._motion is not None
            self._begin(self._arm.pose, self._motion.target)
        elif self._hand is None or not self._hand.busy:  # which has a timeout of its own
            self._elapsed += min(passed, LONGEST_TICK)

    def _follow(self, now: int) -> None:
        """Send the next target of the motion; end the motion, or hold when it goes wrong."""
        assert self._motion is not None
        assert self._arm.pose is not None
        elapsed = self._elapsed / _SECOND
        target = self._motion.at(elapsed)
        error, turn = target.distance(self._arm.pose), target.angle(self._arm.pose)
        arrives = error <= self.config.settle_tolerance and self._at_rest(now)
        if not self._is_fresh(now):
            self.hold(f'no measured pose for {self._arm.age(now):.2f} s while the arm moved')
        elif error > self.config.max_tracking_error or turn > self.config.max_tracking_rotation:
            self.fault(f'the arm is {error:.3f} m and {turn:.2f} rad from its target: blocked?')
        elif self._sent is not self._motion.target:
            self._send_target(target)
            self._sent = target
        elif self._hand is not None and self._hand.busy:
            self._deadline = elapsed + self.config.settle_timeout  # the fingers may shake the arm
        elif arrives and self._is_to_grip() and error > self.config.gripper_tolerance:
            self.hold(f'something stopped the arm {error:.3f} m from its target: no gripper')
        elif arrives:
            self._arrive(now)
        elif elapsed > self._deadline:
            self.hold(f'the arm did not settle: it is {error:.3f} m from its target')

    def _is_to_grip(self) -> bool:
        """Return whether the gripper moves at the end of this motion."""
        return bool(self._hand and self._grip and self._hand.wants(*self._grip))

    def _arrive(self, now: int) -> None:
        """Let the gripper move if that is still to be done; end the motion if not."""
        grip, self._grip = self._grip, None
        if grip is not None and self._hand is not None:
            self._hand.move(*grip)
        if self._hand is None or not self._hand.busy:
            self.state, self._motion, self._sent = GateState.IDLE, None, None
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
        age = self._arm.age(now)
        if self.state is GateState.WAITING and self.config.resume_within < age < float('inf'):
            self.fault(f'no measured pose for more than {self.config.resume_within:g} s.')
        self._watch_plans(now)

    def _watch_plans(self, now: int) -> None:
        """When streaming, know whether plans still come."""
        if self.config.mode != 'streaming' or self.state is not GateState.IDLE:
            return
        age = (now - self.plan_stamp) / _SECOND
        if self.accepted and age > self.config.plan_max_age:
            self.hold(f'no plan from an image of the last {self.config.plan_max_age:g} s')

    # -- inside --------------------------------------------------------------------------------

    def _may_be_redirected(self) -> bool:
        """Return whether a newer plan may replace the motion."""
        if self.config.mode != 'streaming':
            return False
        return not (self._is_to_grip() or (self._hand is not None and self._hand.busy))

    def _checked(self, step: PlannedStep, now: int) -> tuple[Pose, State, str]:
        """Return measured pose, target state and what was cut; raise why the plan is refused."""
        pose = self._arm.pose
        moving = self.state is GateState.EXECUTING
        if not (moving or self.state in _ACCEPTS_PLANS) or pose is None or not self._is_fresh(now):
            raise InvalidInputError(f'the arm is not ready: {self.reason or "no measured pose"}.')
        check_age('its image', step.stamp, now, self.config.plan_max_age)
        streaming = self.config.mode == 'streaming'
        if not streaming and (self.settled is None or step.stamp <= self.settled):
            raise InvalidInputError('its image was taken before the arm had come to rest.')
        state = check_state(step.state, 'state of the plan')
        begin = Pose(state[:3], geometry.euler_to_quaternion_xyzw(state[3:6]))
        closest = self._arm.closest(begin, step.stamp) if streaming else pose
        offset, turn = closest.distance(begin), closest.angle(begin)
        if offset > self.config.state_tolerance or turn > self.config.state_tolerance_rotation:
            raise InvalidInputError(
                f'the arm is {offset:.3f} m and {turn:.2f} rad from where the plan starts, '
                f'allowed are {self.config.state_tolerance:g} m and '
                f'{self.config.state_tolerance_rotation:g} rad.'
            )
        return pose, *limited_target(state, step.action, self.config)

    def _go(self, measured: Pose, target: Pose) -> None:
        """Begin a motion at the measured pose, or continue the present one to another target."""
        if self._motion is None or self._sent is None:
            self._begin(measured, target)
            return
        self._motion = self._motion.redirected(target, self._elapsed / _SECOND, self.config)
        self._deadline = self._motion.duration + self.config.settle_timeout

    def _begin(self, measured: Pose, target: Pose) -> None:
        streaming = self.config.mode == 'streaming'
        self._motion = Trajectory(measured, target, self.config, redirectable=streaming)
        self._deadline = self._motion.duration + self.config.settle_timeout
        self._elapsed, self._sent = 0, None

    def _hold_as(self, state: GateState, reason: str) -> None:
        """Enter a state in which arm and gripper hold; the target is set only if that is new."""
        pose, before = self._arm.pose, self.state
        self._motion = self._sent = self._grip = None
        self.state, self.reason = state, reason
        if before in (GateState.IDLE, GateState.EXECUTING) and pose is not None:
            self._send_target(pose)
            self.settled = None
        if self._hand is not None:
            self._hand.stop()

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


def _asked_of_gripper(step: PlannedStep, closedness: float) -> float:
    """Return the change of closedness that a step asks for, 0 if hardly any of it can happen.

    Asked, not possible: fingers around a wide object are nearly open, and to open them all the way
    is a small change, though no small wish.
    """
    possible = closedness - step.state[6]
    return float(step.action[6]) if abs(possible) > _FELT else float(possible)
