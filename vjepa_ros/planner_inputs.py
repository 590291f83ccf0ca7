# SPDX-License-Identifier: Apache-2.0
"""What a planning cycle needs, and whether all of it is there and recent. No node, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import JointState

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.msg import Goal as GoalMessage
from vjepa_planner import Goal, Observation
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_ros import conversions
from vjepa_ros.ages import check_age
from vjepa_ros.settings import setting

_SECOND = 1_000_000_000
_SILENCE = 8 * _SECOND // 10  # [ns] of steady time until a node is lost; hearts beat at 5 Hz
_READY = (Status.IDLE, Status.HOLDING)


@dataclass(frozen=True, kw_only=True)
class PlannerInputsConfig:
    """Where the inputs come from, and how old they may be."""

    base_frame: str = setting(
        fr3.BASE_FRAME, 'Frame that poses and plans are expressed in', read_only=True
    )
    ee_frame: str = setting(
        fr3.TCP_FRAME, 'Frame whose pose current_pose measures', read_only=True
    )
    joint_states_topic: str = setting(
        '/joint_states', 'Topic that has the finger joints', read_only=True
    )
    finger_joints: tuple[str, ...] = setting(
        fr3.FINGER_JOINT_NAMES, 'Names of the two finger joints', read_only=True
    )
    image_max_age: float = setting(
        2.0, 'No plan is made from an image older than this [s]', minimum=0.01, maximum=60.0
    )
    state_max_age: float = setting(
        0.5,
        'No plan is made from a measured state older than this [s]',
        minimum=0.01,
        maximum=60.0,
    )
    wait_for_commander: bool = setting(
        True,
        'Plan only when the commander is ready, from an image taken after the arm came to '
        'rest; false: plan from every embedding',
    )
    answer_timeout: float = setting(
        2.0,
        'A plan that the commander does not mention for this long is given up [s]',
        minimum=0.1,
        maximum=60.0,
    )


class NotReadyError(InvalidInputError):
    """An input of the planner is missing, too old, or from before the arm came to rest."""


class PlannerInputs:
    """The newest of every input.

    Attributes:
        config: May be replaced at any time.
        goal: The goal in force, or None.
    """

    def __init__(self, config: PlannerInputsConfig, model: str, shape: tuple[int, int]) -> None:
        """Begin with nothing.

        Args:
            config: Frames, names and ages.
            model: Name of the model that embeddings have to come from.
            shape: Tokens and dim that they have to have.
        """
        self.config = config
        self.goal: Goal | None = None
        self._model = model
        self._shape = shape
        self._embedding: Embedding | None = None
        self._pose: PoseStamped | None = None
        self._fingers: tuple[float, int] | None = None  # closedness and stamp [ns]
        self._commander: tuple[Status, int] | None = None  # and when it was heard [ns, steady]
        self._goal_node: int | None = None  # when it was heard [ns, steady]
        self._sent: tuple[int, int] | None = None  # stamp of the last plan, when it was sent

    # -- what comes in -------------------------------------------------------------------------

    def take_embedding(self, message: Embedding) -> None:
        """Take the newest embedding."""
        self._embedding = message

    def take_goal(self, message: GoalMessage) -> None:
        """Take a goal; one without a name withdraws the goal before.

        Raises:
            InvalidInputError: It is not an embedding of this model; the goal before stays.
        """
        if not message.goal_id:
            self.goal = None
            return
        embedding = self._checked(message.embedding)
        self.goal = Goal(embedding=embedding, goal_id=message.goal_id)

    def take_pose(self, message: PoseStamped) -> None:
        """Take a measured pose.

        Raises:
            InvalidInputError: It is in another frame, or not a pose.
        """
        if message.header.frame_id != self.config.base_frame:
            raise InvalidInputError(
                f'current_pose is in frame {message.header.frame_id!r}, '
                f'needed is {self.config.base_frame!r} (parameter base_frame).'
            )
        conversions.pose_from_message(message)  # raises here, not in the middle of a cycle
        self._pose = message

    def take_joint_state(self, message: JointState) -> None:
        """Take the joint states of the gripper; those without fingers change nothing.

        Raises:
            InvalidInputError: Positions are missing, NaN or infinite.
        """
        closedness = conversions.closedness_from_message(message, self.config.finger_joints)
        if closedness is not None:
            stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
            self._fingers = closedness, stamp

    def take_commander_status(self, message: Status, steady: int) -> None:
        """Take what the commander says, at this steady time [ns]."""
        self._commander = message, steady

    def hear_goal_node(self, steady: int) -> None:
        """Remember that the goal node lives, at this steady time [ns]."""
        self._goal_node = steady

    def plan_sent(self, stamp: int, steady: int) -> None:
        """Remember that a plan from the image of this stamp was sent, at this steady time [ns]."""
        self._sent = stamp, steady

    # -- what comes out ------------------------------------------------------------------------

    def observation(self, now: int, steady: int) -> Observation:
        """Return what to plan from.

        Args:
            now: Present time of the stamps' clock [ns].
            steady: Present steady time [ns].

        Raises:
            NotReadyError: Something is missing; the message says what.
        """
        try:
            if self.goal is None:
                raise InvalidInputError(
                    'no goal set: call set_goal_image, set_goal_sequence or capture_goal.'
                )
            # Goals may come without a goal node; one that is lost can no longer withdraw its own.
            if self._goal_node is not None and steady - self._goal_node > _SILENCE:
                raise InvalidInputError('the goal node is silent: does it run?')
            message, stamp = self._checked_embedding(now)
            if self._sent is not None and self._sent[0] == stamp:
                raise InvalidInputError('waiting for a new image')
            state = self._checked_state(now)
            if self.config.wait_for_commander:
                self._check_commander(stamp, steady)
            embedding = self._checked(message)
        except InvalidInputError as error:
            raise NotReadyError(str(error)) from error
        return Observation(embedding=embedding, state=state, stamp=stamp / _SECOND)

    @property
    def embedding_stamp(self) -> int:
        """Stamp of the newest embedding's image [ns]; 0 if there is none."""
        if self._embedding is None:
            return 0
        return conversions.nanoseconds_from_stamp(self._embedding.header.stamp)

    def _checked_embedding(self, now: int) -> tuple[Embedding, int]:
        if self._embedding is None:
            raise InvalidInputError('no embedding yet: does the encoder run and get images?')
        stamp = self.embedding_stamp
        check_age('the embedded image', stamp, now, self.config.image_max_age)
        return self._embedding, stamp

    def _checked_state(self, now: int) -> npt.NDArray[np.float64]:
        if self._pose is None:
            raise InvalidInputError('no measured pose yet on current_pose.')
        if self._fingers is None:
            raise InvalidInputError(
                f'{" and ".join(self.config.finger_joints)} are not on '
                f'{self.config.joint_states_topic} yet.'
            )
        closedness, fingers_stamp = self._fingers
        pose_stamp = conversions.nanoseconds_from_stamp(self._pose.header.stamp)
        check_age('the measured pose', pose_stamp, now, self.config.state_max_age)
        check_age('the finger position', fingers_stamp, now, self.config.state_max_age)
        position, quaternion = conversions.pose_from_message(self._pose)
        return conversions.state_from_pose(position, quaternion, closedness)

    def _check_commander(self, stamp: int, steady: int) -> None:
        """Raise unless the arm rests, and rested when the image of this stamp was taken."""
        if self._commander is None or steady - self._commander[1] > _SILENCE:
            raise InvalidInputError('the commander is silent: does it run?')
        status = self._commander[0]
        if status.state not in _READY:
            raise InvalidInputError(f'the commander is not ready: {status.reason or "arm moves"}')
        settled = conversions.nanoseconds_from_stamp(status.settled)
        if settled == 0 or stamp <= settled:
            raise InvalidInputError('waiting for an image of the resting arm')
        if self._sent is None or self._sent[0] == conversions.nanoseconds_from_stamp(
            status.plan_stamp
        ):
            return
        if steady - self._sent[1] < self.config.answer_timeout * _SECOND:
            raise InvalidInputError('waiting for the commander to take the last plan')

    def _checked(self, message: Embedding) -> npt.NDArray[np.float32]:
        """Return the embedding of a message, or raise if this model cannot use it."""
        if message.model != self._model or (message.tokens, message.dim) != self._shape:
            raise InvalidInputError(
                f'embedding is of model {message.model!r} with {message.tokens} tokens x '
                f'{message.dim}, the planner uses {self._model!r} with {self._shape[0]} x '
                f'{self._shape[1]}. Give encoder and planner the same model.'
            )
        return conversions.embedding_from_message(message)
