# SPDX-License-Identifier: Apache-2.0
"""The node ``goal``: sets goals from images, files or the present camera image.

Of a sequence of goals, the next one is put in force when an action begins that uses up the budget
of the one before: the planner then knows it when the arm rests again.

The services wait for the encoder's answer, so they need a thread of the executor to themselves,
and a callback group other than that of the client whose answer they wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import hashlib
from itertools import count
import threading
import time

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Embedding, Goal, Plan, Status, SubGoal
from vjepa_msgs.srv import Encode, SetGoalImage, SetGoalSequence
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_ros import conversions, qos
from vjepa_ros.ages import check_age
from vjepa_ros.goal_pursuit import GoalPursuit
from vjepa_ros.image_input import image_topic, ImageInputConfig, subscribe_to_images
from vjepa_ros.lifecycle import ManagedNode
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.pursue_goal_server import PursueConfig, PursueGoalServer
from vjepa_ros.sequence_pursuit import (
    check_sequence,
    make_sequence,
    naming,
    SequencePursuit,
)
from vjepa_ros.settings import setting
from vjepa_ros.spin import run

COMMANDER, PLANNER = 'commander', 'planner'
_CLOSING_LATENCY = 0.2  # [s] until a service that waits notices that the process ends


@dataclass(frozen=True, kw_only=True)
class GoalConfig(ImageInputConfig):
    """What the goal node waits for, and how images come."""

    encode_timeout: float = setting(
        30.0, 'Longest wait for the encoder [s]', minimum=0.1, maximum=600.0
    )
    image_max_age: float = setting(
        1.0,
        'A camera image older than this is not captured as goal [s]',
        minimum=0.01,
        maximum=60.0,
    )
    min_goal_interval: float = setting(
        0.1,
        'A goal replaces another at most this often; one that comes earlier waits [s]',
        minimum=0.0,
        maximum=10.0,
    )


class GoalNode(ManagedNode):
    """Keeps the goal in force, and replaces it when a new one is known to be good."""

    # Messages, the answers of encoder and commander, one service, two goals of the action.
    threads = 6

    def __init__(self) -> None:
        """Begin without a goal."""
        super().__init__('goal')
        self._config = ConfigParameters(self, GoalConfig())
        self._pursue_config = ConfigParameters(self, PursueConfig(), 'pursue.')
        self._goal_id = ''
        self._numbers = count(1)
        self._last_change = 0.0  # steady time of the last goal [s]
        self._lock = threading.Lock()  # guards the goals in force
        self._goals: list[Goal] = []
        self._pictures: dict[str, Image] = {}  # of the goals, by their names
        self._pursuit: SequencePursuit | None = None
        self._commander: Status | None = None  # the newest
        self._newest_image: bytes | None = None  # serialised

    def configure(self) -> None:
        """Make the endpoints."""
        self._publisher = self.create_publisher(
            Goal, 'goal', qos.GOAL, qos_overriding_options=qos.OVERRIDABLE
        )
        self._picture_publisher = self.create_publisher(
            Image, 'goal_image', qos.GOAL, qos_overriding_options=qos.OVERRIDABLE
        )
        for message, topic, callback, profile in (
            (Status, 'status', self._on_status, qos.ALL_STATUS),
            (Plan, 'plan', self._on_plan, qos.RESULT),
            (Embedding, 'embedding', self._on_embedding, qos.RESULT),
        ):
            self.create_subscription(
                message, topic, callback, profile, qos_overriding_options=qos.OVERRIDABLE
            )
        # As it came on the wire: hardly any image is ever asked for.
        subscribe_to_images(self, self._config.value, self._on_image, raw=True)
        self._encoder = self.create_client(
            Encode, 'encode', callback_group=MutuallyExclusiveCallbackGroup()
        )
        requests = MutuallyExclusiveCallbackGroup()  # one change of the goal after the other
        for service, name, answer in (
            (SetGoalImage, 'set_goal_image', self._on_set_goal_image),
            (SetGoalSequence, 'set_goal_sequence', self._on_set_goal_sequence),
            (Trigger, 'capture_goal', self._on_capture_goal),
            (Trigger, 'end_goal_sequence', self._on_end_goal_sequence),
            (Trigger, 'clear_goal', self._on_clear_goal),
        ):
            self.create_service(service, name, answer, callback_group=requests)
        self._pursue_goal = PursueGoalServer(self, self._pursue_config)

    def activate(self) -> None:
        """Take goals from now on."""
        self.status.update(
            state=Status.WAITING,
            reason='no goal set: call set_goal_image, set_goal_sequence or capture_goal',
        )

    def deactivate(self) -> None:
        """Withdraw the goal in force: nobody would go on with its sequence."""
        self._clear('the goal node was deactivated')

    def _on_image(self, message: bytes) -> None:
        self._newest_image = message

    def _on_set_goal_image(
        self, request: SetGoalImage.Request, response: SetGoalImage.Response
    ) -> SetGoalImage.Response:
        try:
            self.put_in_force([self.encoded_goal(requested_image(request))])
            response.success = True
            response.message = f'goal {self._goal_id} is in force.'
        except VjepaPlannerError as error:
            response.message = self._refused(error)
        response.goal_id = self._goal_id
        return response

    def _on_capture_goal(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            self.put_in_force([self.encoded_goal(self._present_image())])
            response.success = True
            response.message = f'goal {self._goal_id} is in force.'
        except VjepaPlannerError as error:
            response.message = self._refused(error)
        return response

    def _on_set_goal_sequence(
        self, request: SetGoalSequence.Request, response: SetGoalSequence.Response
    ) -> SetGoalSequence.Response:
        try:
            check_sequence(request.sub_goals)
            goals = self.encoded_goals(request.sub_goals)
            motions = self._commander.accepted if self._commander else None
            pursuit = SequencePursuit(
                make_sequence(goals, request.sub_goals),
                motions,
                withdraw_last=request.withdraw_last,
            )
            self.put_in_force(goals, pursuit)
            response.success = True
            response.goal_ids = [goal.goal_id for goal in goals]
            response.message = f'{len(goals)} goals, {response.goal_ids[0]} is in force.'
        except VjepaPlannerError as error:
            response.message = self._refused(error)
        return response

    def _on_end_goal_sequence(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        with self._lock:
            if not self.is_active:
                response.message = f'the goal node is {self.rest_reason}'
                return response
            if isinstance(self._pursuit, GoalPursuit):
                response.message = 'the action pursue_goal is at work: cancel it, or clear_goal.'
                return response
            response.success = self._pursuit is not None
            self._pursuit = None
            self.status.update(reason='')
        response.message = (
            f'goal {self._goal_id} stays in force.'
            if response.success
            else 'there is no sequence of goals.'
        )
        return response

    def _on_clear_goal(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        self._clear('clear_goal was called')
        if not self.is_active:
            self.rest(self.rest_reason)
        response.success = True
        response.message = 'no goal is in force; the arm finishes its step and rests.'
        return response

    def _clear(self, why: str) -> None:
        with self._lock:
            if self._pursuit is not None:
                self._pursuit.end(why)
            self._pursuit = None
            self._withdraw_goal('no goal set: it was cleared')

    def _on_status(self, message: Status) -> None:
        if message.node == COMMANDER:
            self._commander = message
            self._go_on(lambda pursuit: pursuit.take_status(message))
        elif message.node == PLANNER and self._pursuit is not None:
            self._pursuit.take_planner_status(message)

    def _on_plan(self, message: Plan) -> None:
        self._go_on(lambda pursuit: pursuit.take_plan(message))

    def _on_embedding(self, message: Embedding) -> None:
        try:
            self._go_on(lambda pursuit: pursuit.take_embedding(message))
        except InvalidInputError as error:
            self.status.reject(f'embedding refused: {error}')

    def _go_on(self, take: Callable[[SequencePursuit], bool]) -> None:
        """Put the next goal of a sequence in force if the pursuit says so of what it takes."""
        with self._lock:
            if self._pursuit is not None and take(self._pursuit):
                self._publish_goal()

    # -- for pursue_goal -----------------------------------------------------------------------

    @property
    def commander(self) -> Status | None:
        """What the commander said last; None before it said anything."""
        return self._commander

    def change(self, pursuit: GoalPursuit, how: Callable[[], bool]) -> None:
        """End a pursuit, and withdraw its goal if that says so and it is still in force."""
        with self._lock:
            if how() and pursuit is self._pursuit:
                self._publish_goal()

    def release(self, pursuit: GoalPursuit) -> None:
        """Forget a pursuit that is over."""
        with self._lock:
            if pursuit is self._pursuit:
                self._pursuit = None

    # -- encoding ------------------------------------------------------------------------------

    def _present_image(self) -> Image:
        if self._newest_image is None:
            raise InvalidInputError('no camera image has arrived yet. Is the camera running?')
        kind, _ = image_topic(self, self._config.value.image_transport)
        message = deserialize_message(self._newest_image, kind)
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        now = self.get_clock().now().nanoseconds
        check_age('the camera image', stamp, now, self._config.value.image_max_age)
        return conversions.raw_image(message)

    def encoded_goals(self, sub_goals: Sequence[SubGoal]) -> list[Goal]:
        """Return the images of sub-goals as goals, or raise and change nothing in force."""
        goals = []
        for index, part in enumerate(sub_goals):
            with naming(index):
                goals.append(self.encoded_goal(requested_image(part)))
        return goals

    def encoded_goal(self, image: Image) -> Goal:
        """Return an image as a goal with a new name, or raise and change nothing in force."""
        self.check_active()
        pixels = conversions.image_from_message(image)
        embedding = self._encoded(image)
        conversions.embedding_from_message(embedding)  # raises if the encoder sent nonsense
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=4).hexdigest()
        goal = Goal(goal_id=f'goal-{next(self._numbers)}-{digest}', embedding=embedding)
        self._pictures[goal.goal_id] = image
        return goal

    def put_in_force(self, goals: list[Goal], pursuit: SequencePursuit | None = None) -> None:
        """Replace what is in force by a goal, or by those of a pursuit."""
        interval = self._config.value.min_goal_interval
        self.inactive.wait(max(0.0, self._last_change + interval - time.monotonic()))
        self._last_change = time.monotonic()
        with self._lock:
            self.check_active()
            if self._pursuit is not None:
                self._pursuit.end(f'{goals[0].goal_id} replaced it')
            self._forget_goals()
            self._goals, self._pursuit = goals, pursuit
            self._publish_goal()
        self.status.accept()

    def _publish_goal(self) -> None:
        """Publish the goal that is to be pursued now; the lock is held."""
        pursuit = self._pursuit
        if pursuit and pursuit.is_done and pursuit.withdraw_last:
            self._withdraw_goal(pursuit.describe())
            return
        index = pursuit.index if pursuit else 0
        reason = pursuit.describe() if pursuit else ''
        goal = self._goals[index]
        if goal.goal_id != self._goal_id:
            self._goal_id = goal.goal_id
            goal.header = Header(stamp=self.get_clock().now().to_msg())
            goal.sub_goal, goal.sub_goals = index, len(self._goals) if pursuit else 0
            self._publisher.publish(goal)
            self._picture_publisher.publish(self._pictures[goal.goal_id])
            self.get_logger().info(f'goal {self._goal_id} is in force')
        self.status.update(state=Status.IDLE, reason=reason, goal_id=self._goal_id)

    def _forget_goals(self) -> None:
        """Forget the goals that were in force, and their pictures; the lock is held."""
        for goal in self._goals:
            self._pictures.pop(goal.goal_id, None)
        self._goals = []

    def _withdraw_goal(self, reason: str) -> None:
        """Let no goal be in force; the lock is held."""
        self._forget_goals()
        self._goal_id = ''
        if self._pursuit is not None and self._pursuit.is_over:
            self._pursuit = None
        self._publisher.publish(Goal(header=Header(stamp=self.get_clock().now().to_msg())))
        self.status.update(state=Status.WAITING, reason=reason, goal_id='')

    def _encoded(self, image: Image) -> Embedding:
        """Return what the encoder answers.

        Raises:
            InvalidInputError: It does not run, does not answer in time, or refuses the image.
        """
        if not self._encoder.service_is_ready():
            raise InvalidInputError('the encoder is not running, its service encode is missing.')
        timeout = self._config.value.encode_timeout
        answered = threading.Event()
        future = self._encoder.call_async(Encode.Request(image=image))
        future.add_done_callback(lambda _: answered.set())
        deadline = time.monotonic() + timeout
        while not answered.wait(_CLOSING_LATENCY):
            if self.inactive.is_set() or time.monotonic() > deadline:
                self._encoder.remove_pending_request(future)
                raise InvalidInputError(f'the encoder did not answer within {timeout:g} s.')
        answer = future.result()
        if not answer.success:
            raise InvalidInputError(answer.message)
        return answer.embedding

    def _refused(self, error: VjepaPlannerError) -> str:
        kept = f'goal {self._goal_id} stays in force' if self._goal_id else 'there is no goal yet'
        message = f'{error} ({kept})'
        self.status.reject(f'goal refused: {message}')
        return message


def requested_image(request: SetGoalImage.Request | SubGoal) -> Image:
    """Return the image of a request: the one in it, or the one in the file that it names."""
    has_image = request.image.height > 0 or request.image.width > 0 or len(request.image.data) > 0
    if has_image == bool(request.path):
        given = 'both' if has_image else 'neither'
        raise InvalidInputError(f'give either an image or a path, got {given}.')
    if has_image:
        return request.image
    return conversions.image_to_message(conversions.read_image(request.path), Header())


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [GoalNode()])
