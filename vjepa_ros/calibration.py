# SPDX-License-Identifier: Apache-2.0
"""The part of ``vjepa calibrate`` that moves the arm: known steps, handed to the commander.

The node takes the place of the planner: it publishes plans of one action, which pass the command
gate like any other. It never starts the commander; it waits for the operator, and gives up when
the arm is stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tqdm import tqdm

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.msg import Plan as PlanMessage
from vjepa_planner import load_world_model, ModelPredictiveController
from vjepa_planner.calibration import infer_displacement, known_moves
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.robots import fr3
from vjepa_planner.types import ACTION_DIM, FloatArray
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.watcher import COMMANDER, NodeWatcher

GOAL_ID = 'calibration'

_PLANNER = 'planner'

_TIMEOUT = 60.0  # [s] for what takes a second or two
_OPERATOR_TIMEOUT = 600.0  # [s]
_READY = (Status.IDLE, Status.HOLDING)
_STOPPED = (Status.STOPPED, Status.E_STOPPED)

Numbers = list[list[float]]
State = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What was seen and measured of the resting arm."""

    stamp: int  # of the image [ns]
    embedding: FloatArray
    model: str
    state: State
    frame: str  # that the pose was measured in


class Calibrator(NodeWatcher):
    """Moves the arm through the commander, and looks before and after."""

    def __init__(self, namespace: str) -> None:
        """Join the graph of the nodes in ``namespace``."""
        self._moving = False  # a stop of the commander ends what is waited for
        self._embedding: Embedding | None = None
        self._pose: PoseStamped | None = None
        self._closedness: float | None = None
        super().__init__('calibration', self._check_commander, namespace)
        self.subscribe(Embedding, 'embedding', self._on_embedding, qos.RESULT)
        self.subscribe(PoseStamped, 'current_pose', self._on_pose, qos.ROBOT_STATE)
        self.subscribe(JointState, '/joint_states', self._on_joints, qos.ROBOT_STATE)
        self._plans = self._node.create_publisher(PlanMessage, 'plan', qos.RESULT)
        self._clear_goal = self.client(Trigger, 'clear_goal')

    def prepare(self, say: Callable[[str], None]) -> None:
        """Clear the goal, and wait until the operator has started the commander.

        Raises:
            NodesError: Something that is needed does not run, or the operator does not come.
        """
        self.wait_for(self.is_connected, 'connection to the nodes, camera and arm', _TIMEOUT)
        for name in (COMMANDER, _PLANNER):
            self.wait_for(lambda name=name: name in self.statuses, f'word of {name}', _TIMEOUT)
        self.call(self._clear_goal, Trigger.Request(), _TIMEOUT)
        self.wait_for(lambda: not self.statuses[_PLANNER].goal_id, 'idle planner', _TIMEOUT)
        if self.statuses[COMMANDER].state in _STOPPED:
            say('waiting for the operator: call the service start')
        self.wait_for(
            lambda: self.statuses[COMMANDER].state in _READY,
            'started commander',
            _OPERATOR_TIMEOUT,
        )
        self._moving = True

    def look(self) -> Look:
        """Return what is seen and measured of the arm once it rests.

        Raises:
            NodesError: It does not come to rest, or nothing is seen of it.
        """
        self.wait_for(self._sees_resting_arm, 'image of the resting arm', _TIMEOUT)
        assert self._embedding is not None
        assert self._pose is not None
        position, quaternion = conversions.pose_from_message(self._pose)
        return Look(
            stamp=conversions.nanoseconds_from_stamp(self._embedding.header.stamp),
            embedding=conversions.embedding_from_message(self._embedding),
            model=self._embedding.model,
            state=conversions.state_from_pose(position, quaternion, self._closedness or 0.0),
            frame=self._pose.header.frame_id,
        )

    def move(self, before: Look, displacement: State) -> Look:
        """Move by a displacement xyz [m] from where the arm was seen, and return what comes.

        Raises:
            InvalidInputError: The commander refuses the move.
            NodesError: It does not take it, or the arm does not come to rest.
        """
        rejected = self.statuses[COMMANDER].rejected
        self._plans.publish(_plan_message(before, displacement))

        def taken() -> bool:
            plan_stamp = self.statuses[COMMANDER].plan_stamp
            return conversions.nanoseconds_from_stamp(plan_stamp) == before.stamp

        self.wait_for(taken, 'answer of the commander to a move', _TIMEOUT)
        if self.statuses[COMMANDER].rejected > rejected:
            raise InvalidInputError(
                f'the commander refuses a move: {self.statuses[COMMANDER].reason} Bring the arm '
                'to where there is room around it, or make the moves smaller by --step.'
            )
        self.wait_for(lambda: self._settled() > before.stamp, 'rest after a move', _TIMEOUT)
        return self.look()

    def hold(self) -> None:
        """Have the arm hold where it is."""
        self._moving = False
        self.stop(_TIMEOUT)

    # -- what comes in -------------------------------------------------------------------------

    def _on_embedding(self, message: Embedding) -> None:
        self._embedding = message

    def _on_pose(self, message: PoseStamped) -> None:
        self._pose = message

    def _on_joints(self, message: JointState) -> None:
        closedness = conversions.closedness_from_message(message, fr3.FINGER_JOINT_NAMES)
        self._closedness = self._closedness if closedness is None else closedness

    def _check_commander(self) -> None:
        """Raise if the arm was stopped while it is being moved."""
        status = self.statuses.get(COMMANDER)
        if self._moving and status is not None and status.state in _STOPPED:
            raise InvalidInputError(f'the commander was stopped: {status.reason}')

    def _settled(self) -> int:
        """Return when the arm came to rest [ns]; 0 while it moves."""
        status = self.statuses[COMMANDER]
        rests = status.state in _READY
        return conversions.nanoseconds_from_stamp(status.settled) if rests else 0

    def _sees_resting_arm(self) -> bool:
        settled = self._settled()
        if not settled or self._embedding is None or self._pose is None:
            return False
        seen, measured = (
            conversions.nanoseconds_from_stamp(message.header.stamp)
            for message in (self._embedding, self._pose)
        )
        return seen > settled and measured > settled


def measure(
    options: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Numbers, Numbers, str]:
    """Move the arm, and return inferred and executed displacements xyz [m] and the model's name.

    Args:
        options: Of ``vjepa calibrate``.
        say: Called with what the operator has to know.

    Raises:
        VjepaPlannerError: The arm cannot be moved, or the nodes use another model.
    """
    world_model = load_world_model(
        options.model,
        backend=options.backend,
        device=options.device,
        precision=options.precision,
    )
    moves = known_moves(options.moves, options.step, options.axes, options.seed)
    pairs = _pairs(options.namespace, moves, world_model.config.name, say)
    planner = make_recommended_planner(world_model.config.planner)
    controller = ModelPredictiveController(world_model, planner, options.seed)
    inferred = [
        infer_displacement(controller, before.embedding, before.state, after.embedding).tolist()
        for before, after in tqdm(pairs, desc='inferring', leave=False)
    ]
    executed = [(after.state[:3] - before.state[:3]).tolist() for before, after in pairs]
    return inferred, executed, world_model.config.name


def _pairs(
    namespace: str, moves: list[State], model: str, say: Callable[[str], None]
) -> list[tuple[Look, Look]]:
    """Return what was seen before and after each move; the arm holds if anything goes wrong."""
    pairs = []
    with Calibrator(namespace) as calibrator:
        calibrator.prepare(say)
        try:
            before = calibrator.look()
            if before.model != model:
                raise InvalidInputError(
                    f'the encoder uses the model {before.model!r}, not {model!r}: give it by '
                    '--model.'
                )
            for move in tqdm(moves, desc='moving', leave=False):
                after = calibrator.move(before, move)
                pairs.append((before, after))
                before = after
        except (VjepaPlannerError, KeyboardInterrupt):
            calibrator.hold()
            raise
    return pairs


def _plan_message(before: Look, displacement: State) -> PlanMessage:
    """Return a plan of one action without rotation and gripper."""
    action = np.zeros(ACTION_DIM)
    action[:3] = displacement
    header = Header(stamp=conversions.stamp_from_nanoseconds(before.stamp), frame_id=before.frame)
    return PlanMessage(
        header=header, goal_id=GOAL_ID, horizon=1, state=before.state, actions=action.tolist()
    )
