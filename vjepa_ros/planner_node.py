# SPDX-License-Identifier: Apache-2.0
"""The node ``planner``: embedding, measured state and goal in, plan out.

One step after the other: it plans from an image that was taken after the arm came to rest, hands
the plan to the commander, and waits until the arm rests again. Callbacks are short and run one at
a time; planning happens on the model's worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
import math
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseArray, PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Header

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.msg import Goal as GoalMessage
from vjepa_msgs.msg import Plan as PlanMessage
from vjepa_planner import Goal, ModelPredictiveController, Observation, Plan
from vjepa_planner.calibration import Calibration, read_calibration
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.planners import make_planner, make_recommended_planner
from vjepa_planner.robots.hand_frames import FrameChange
from vjepa_ros import conversions, qos
from vjepa_ros.lifecycle import ManagedNode
from vjepa_ros.model import Model
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.planner_inputs import NotReadyError, PlannerInputs, PlannerInputsConfig
from vjepa_ros.settings import setting
from vjepa_ros.spin import run

COMMANDER = 'commander'
GOAL_NODE = 'goal'
_SECOND = 1_000_000_000  # [ns]


@dataclass(frozen=True, kw_only=True)
class PlannerChoice:
    """Which planner searches; its settings are the parameters beside these."""

    name: str = setting(
        '', 'Planner: cem, random; empty: what the model recommends', read_only=True
    )
    seed: int = setting(
        0, 'Seed of its randomness, which begins anew when it is set', minimum=0, maximum=2**31
    )


@dataclass(frozen=True, kw_only=True)
class CorrectionConfig:
    """What is done to plans before they are published."""

    calibration_file: str = setting(
        '',
        'File of `vjepa calibrate` whose map is applied to planned displacements; empty: none',
        read_only=True,
    )


@dataclass(frozen=True)
class _Job:
    """What one planning cycle works on."""

    observation: Observation
    goal: Goal
    stamp: int  # of the image [ns]


class PlannerNode(ManagedNode):
    """Plans one step whenever the arm rests, there is a goal, and all inputs are recent."""

    def __init__(self, model: Model | None = None) -> None:
        """Declare the parameters, but for those of the planner that is chosen.

        Args:
            model: One that is shared; None for one of its own.
        """
        super().__init__('planner')
        self._config = ConfigParameters(self, PlannerInputsConfig(), '', self._take_config)
        self._correction = ConfigParameters(self, CorrectionConfig())
        self._choice = ConfigParameters(self, PlannerChoice(), 'planner.', self._make_controller)
        self._model = model or Model(self)

    def configure(self) -> None:
        """Load the model and make planner and endpoints."""
        self._model.acquire()
        self.on_cleanup_call(self._forget_model)
        self._calibration = self._read_calibration()
        self._declare_planner()
        self._inputs = PlannerInputs(
            self._config.value, self._model.name, self._model.world_model.embedding_shape
        )
        self._slot = self._model.worker.slot(self._plan)
        self.on_cleanup_call(self._model.worker.remove, self._slot)
        self._busy = False
        self._make_endpoints()

    def activate(self) -> None:
        """Plan as soon as everything for it is there."""
        self._consider()

    def deactivate(self) -> None:
        """Finish the plan at hand, which is not published."""
        self._slot.drain()
        self._busy = False

    # -- set-up --------------------------------------------------------------------------------

    def _declare_planner(self) -> None:
        """Make the planner and declare its settings, as the model recommends."""
        config = self._model.world_model.config
        self._name = self._choice.value.name or str(config.planner.get('name', 'cem'))
        planner = make_recommended_planner(config.planner, self._name)
        self._settings = ConfigParameters(self, planner.config, 'planner.', self._make_controller)
        self._make_controller()
        self._frames = FrameChange(self._config.value.ee_frame, config.ee_frame)
        if not self._frames.is_identity:
            self.get_logger().info(
                f'the model predicts the motion of {config.ee_frame}, current_pose measures '
                f'{self._config.value.ee_frame}: states and actions are converted'
            )

    def _read_calibration(self) -> Calibration | None:
        """Return the map of the parameter ``calibration_file``, if there is one.

        Raises:
            VjepaPlannerError: It cannot be read, or was made with another model.
        """
        path = self._correction.value.calibration_file
        if not path:
            return None
        calibration = read_calibration(Path(path).expanduser())
        if calibration.model != self._model.name:
            raise InvalidInputError(
                f'calibration_file {path} is of model {calibration.model!r}, the planner uses '
                f'{self._model.name!r}. Calibrate again.'
            )
        degrees = math.degrees(calibration.rotation)
        self.get_logger().info(f'plans are turned by {degrees:.1f} degrees: {path}')
        return calibration

    def _make_controller(self) -> None:
        settings = {
            item.name: getattr(self._settings.value, item.name)
            for item in fields(self._settings.value)
        }
        self._controller = ModelPredictiveController(
            self._model.world_model,
            make_planner(self._name, **settings),
            self._choice.value.seed,
        )

    def _forget_model(self) -> None:
        self._controller = None
        self._model.release()

    def _take_config(self) -> None:
        self._inputs.config = self._config.value

    def _make_endpoints(self) -> None:
        options: dict[str, Any] = {'qos_overriding_options': qos.OVERRIDABLE}
        self._plan_publisher = self.create_publisher(PlanMessage, 'plan', qos.RESULT, **options)
        self._energy_publisher = self.create_publisher(Float64, 'energy', qos.RESULT, **options)
        self._path_publisher = self.create_publisher(
            PoseArray, 'predicted_path', qos.RESULT, **options
        )
        joint_states = self._config.value.joint_states_topic
        inputs = self._inputs
        for message, topic, take, profile in (
            (Embedding, 'embedding', inputs.take_embedding, qos.RESULT),
            (PoseStamped, 'current_pose', inputs.take_pose, qos.ROBOT_STATE),
            (JointState, joint_states, inputs.take_joint_state, qos.ROBOT_STATE),
            (GoalMessage, 'goal', inputs.take_goal, qos.GOAL),
            (Status, 'status', self._take_status, qos.ALL_STATUS),
        ):
            self.create_subscription(message, topic, self._taking(take), profile, **options)

    # -- callbacks -----------------------------------------------------------------------------

    def _taking(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that takes a message, or says what is wrong with it, and goes on."""

        def callback(message: object) -> None:
            try:
                take(message)
            except VjepaPlannerError as error:
                self.status.reject(str(error))
            if isinstance(message, Embedding | GoalMessage):
                self._consider()

        return callback

    def _take_status(self, message: Status) -> None:
        if message.node == GOAL_NODE:
            self._inputs.hear_goal_node(time.monotonic_ns())
        elif message.node == COMMANDER:
            self._inputs.take_commander_status(message, time.monotonic_ns())
            self._consider()

    def _consider(self) -> None:
        """Begin a planning cycle if everything for it is there; otherwise say what is not."""
        if self._busy or not self.is_active:
            return
        goal, stamp = self._inputs.goal, self._inputs.embedding_stamp
        goal_id = goal.goal_id if goal else ''
        try:
            now = self.get_clock().now().nanoseconds
            observation = self._inputs.observation(now, time.monotonic_ns())
        except NotReadyError as error:
            self.status.update(state=Status.WAITING, reason=str(error), goal_id=goal_id)
            return
        assert goal is not None  # there is no observation without
        self._busy = True
        self.status.update(state=Status.EXECUTING, reason='', goal_id=goal_id)
        self._slot.put(_Job(observation, goal, stamp))

    # -- on the worker -------------------------------------------------------------------------

    def _plan(self, job: _Job) -> None:
        try:
            state = job.observation.state
            seen = replace(job.observation, state=self._frames.model_state(state))
            plan = self._controller.plan(seen, job.goal)
            plan = replace(plan, actions=self._frames.measured_actions(state, plan.actions))
            if not self.is_active:
                return
            if self._inputs.goal is not job.goal:
                self.diagnostics.count('plans for a goal that was replaced')
                return  # another goal is in force by now: nothing moves towards the old one
            if self._calibration is not None:
                plan = self._calibration.corrected_plan(plan)
            self._inputs.plan_sent(job.stamp, time.monotonic_ns())
            header = Header(
                stamp=conversions.stamp_from_nanoseconds(job.stamp),
                frame_id=self._config.value.base_frame,
            )
            self._plan_publisher.publish(conversions.plan_to_message(plan, state, header))
            self._energy_publisher.publish(Float64(data=plan.current_energy))
            self._path_publisher.publish(conversions.path_to_message(plan, state, header))
            self._diagnose(plan, job.stamp)
            self.status.accept()
        except (VjepaPlannerError, RuntimeError) as error:
            self.status.reject(f'planning failed: {error}')
        finally:
            self._busy = False

    def _diagnose(self, plan: Plan, stamp: int) -> None:
        age = self.get_clock().now().nanoseconds - stamp
        self.diagnostics.latency('plan', plan.duration)
        self.diagnostics.latency('image to plan', age / _SECOND)
        self.diagnostics.value('energy', plan.current_energy)
        self.diagnostics.value('predicted energy', plan.energy)


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [PlannerNode()])
