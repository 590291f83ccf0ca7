# SPDX-License-Identifier: Apache-2.0
"""The node ``evaluation``: arranges tasks, shows their goals to the nodes, watches and judges."""

from __future__ import annotations

from collections.abc import Callable

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import Image as ImageMessage
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Embedding, Plan, Status, SubGoal
from vjepa_msgs.srv import ArrangeTask, JudgeTask, SetGoalSequence
from vjepa_planner.evaluation import SubGoalImage, TaskGoal
from vjepa_planner.types import Image
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.watcher import COMMANDER, NodeWatcher
from vjepa_ros.evaluation.episode_log import EpisodeLog

_SERVICE_TIMEOUT = 150.0  # [s]
_NEWS_TIMEOUT = 60.0  # [s] for images and statuses, which come several times per second


class Director(NodeWatcher):
    """Does through topics, services and parameters what an evaluation needs.

    Attributes:
        log: Of the episode under way.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        """Join the graph; see :class:`NodeWatcher`."""
        self.log: EpisodeLog | None = None
        self._image: tuple[int, Image] | None = None  # the newest, and its stamp [ns]
        self._embedded = 0  # stamp of the newest image that was encoded [ns]
        super().__init__('evaluation', check)
        self.subscribe(ImageMessage, 'image', self._on_image, qos.IMAGE)
        self.subscribe(Embedding, 'embedding', self._on_embedding, qos.RESULT)
        self.subscribe(Plan, 'plan', self._on_plan, qos.RESULT)
        self._arrange = self.client(ArrangeTask, 'simulator/arrange_task')
        self._judge = self.client(JudgeTask, 'simulator/judge_task')
        self._set_sequence = self.client(SetGoalSequence, 'set_goal_sequence')
        self._set_parameters = self.client(SetParameters, 'planner/set_parameters')
        self._start = self.client(Trigger, 'start')

    # -- what it does --------------------------------------------------------------------------

    def arrange(self, task: str, seed: int) -> TaskGoal:
        """Have the scene put into the start state of an episode, and return what is to be done.

        Raises:
            NodesError: The simulator refuses, does not answer, or shows no image of it.
        """
        request = ArrangeTask.Request(task=task, seed=seed)
        answer = self.call(self._arrange, request, _SERVICE_TIMEOUT)
        arranged = self.now()
        self.wait_for(lambda: self._embedded > arranged, 'embedding', _NEWS_TIMEOUT)
        images = tuple(
            SubGoalImage(name, conversions.image_from_message(part.image), part.max_actions)
            for name, part in zip(answer.names, answer.sub_goals, strict=True)
        )
        return TaskGoal(images, answer.position)

    def seed_planner(self, seed: int) -> None:
        """Let the planner's randomness begin anew.

        Raises:
            NodesError: The planner refuses, or does not answer.
        """
        parameter = Parameter('planner.seed', value=seed).to_parameter_msg()
        future = self._set_parameters.call_async(SetParameters.Request(parameters=[parameter]))
        answer = self.wait_for_answer(self._set_parameters, future, _SERVICE_TIMEOUT)
        if not answer.results[0].successful:
            raise NodesError(f'the planner refused planner.seed: {answer.results[0].reason}')

    def pursue(self, goal: TaskGoal) -> EpisodeLog:
        """Show the goals to the nodes, let them begin, and return the log of what they do.

        Raises:
            NodesError: A node refuses, or does not answer.
        """
        sub_goals = [
            SubGoal(
                image=conversions.image_to_message(part.image, self.header()),
                max_actions=part.max_actions,
            )
            for part in goal.sub_goals
        ]
        request = SetGoalSequence.Request(sub_goals=sub_goals, withdraw_last=True)
        answer = self.call(self._set_sequence, request, _SERVICE_TIMEOUT)
        accepted = self.statuses[COMMANDER].accepted
        self.log = EpisodeLog(answer.goal_ids, goal.max_actions, accepted)
        self.call(self._start, Trigger.Request(), _SERVICE_TIMEOUT)
        return self.log

    def finish(self) -> tuple[JudgeTask.Response, Image]:
        """Stop the commander; return the judgement of the resting arm, and an image of it.

        Raises:
            NodesError: A node does not answer, or the arm does not come to rest.
        """
        self.stop(_SERVICE_TIMEOUT)
        self.wait_for(self._is_stopped, 'rest of the arm', _NEWS_TIMEOUT)
        judgement = self.judgement(self.judge(final=True))
        judged = self.now()
        self.wait_for(lambda: self._image and self._image[0] > judged, 'image', _NEWS_TIMEOUT)
        assert self._image is not None
        self.log = None
        return judgement, self._image[1]

    def judge(self, *, final: bool = False) -> Future:
        """Ask for a judgement of now; :meth:`judgement` returns it.

        Args:
            final: The episode is over. Only then is success judged, which may move the arm.
        """
        return self._judge.call_async(JudgeTask.Request(final=final))

    def judgement(self, future: Future) -> JudgeTask.Response:
        """Return what was asked for by :meth:`judge`.

        Raises:
            NodesError: The simulator does not answer, or has no task to judge.
        """
        answer = self.wait_for_answer(self._judge, future, _SERVICE_TIMEOUT)
        if not answer.success:
            raise NodesError(f'{self._judge.service_name} refused: {answer.message}')
        return answer

    def _is_stopped(self) -> bool:
        """Return whether the commander is stopped and its arm rests."""
        status = self.statuses[COMMANDER]
        return status.state == Status.STOPPED and status.settled != Status().settled

    # -- what comes in -------------------------------------------------------------------------

    def _on_image(self, message: ImageMessage) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self._image = stamp, conversions.image_from_message(message)
        if self.log:
            self.log.take_image(*self._image)

    def _on_embedding(self, message: Embedding) -> None:
        self._embedded = conversions.nanoseconds_from_stamp(message.header.stamp)

    def _on_plan(self, message: Plan) -> None:
        if self.log:
            self.log.take_plan(message, self.now())

    def commander_says(self, message: Status, _before: Status | None) -> None:
        """Keep the log of the episode."""
        if self.log:
            self.log.take_status(message)
