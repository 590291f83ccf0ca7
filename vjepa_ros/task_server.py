# SPDX-License-Identifier: Apache-2.0
"""The tasks of ``vjepa eval`` in the simulator's scene: arranged and judged by services.

A task's own code does both, as when it is evaluated without ROS. Goal images leave by the answer;
the judge looks at the simulator's state, which no other node sees.
"""

from __future__ import annotations

from std_msgs.msg import Header

from vjepa_msgs.msg import SubGoal
from vjepa_msgs.srv import ArrangeTask, JudgeTask
from vjepa_planner.errors import VjepaPlannerError
from vjepa_planner.evaluation import find_task, Task, TaskGoal
from vjepa_planner.simulation import FrankaSimulation
from vjepa_ros import conversions
from vjepa_ros.node import VjepaNode
from vjepa_ros.simulation_loop import SimulationLoop


class TaskServer:
    """Serves ``arrange_task`` and ``judge_task`` below the name of a node."""

    def __init__(self, node: VjepaNode, loop: SimulationLoop) -> None:
        """Create the services on ``node``, for the simulation of ``loop``."""
        self._loop = loop
        self._arranged: tuple[Task, TaskGoal] | None = None
        node.create_service(ArrangeTask, '~/arrange_task', self._on_arrange)
        node.create_service(JudgeTask, '~/judge_task', self._on_judge)

    def forget(self) -> None:
        """Judge no longer: the scene has become another one."""
        self._arranged = None

    def _on_arrange(
        self, request: ArrangeTask.Request, response: ArrangeTask.Response
    ) -> ArrangeTask.Response:
        try:
            task = find_task(request.task)
            self.forget()
            goal = self._loop.rearrange(lambda simulation: task.start(simulation, request.seed))
        except VjepaPlannerError as error:
            response.message = str(error)
            return response
        self._arranged = task, goal
        response.success = True
        response.message = f'{task.name} of seed {request.seed} has begun.'
        response.names = [part.name for part in goal.sub_goals]
        response.sub_goals = [
            SubGoal(
                image=conversions.image_to_message(part.image, Header()),
                max_actions=part.max_actions,
            )
            for part in goal.sub_goals
        ]
        response.position = goal.position
        return response

    def _on_judge(
        self, request: JudgeTask.Request, response: JudgeTask.Response
    ) -> JudgeTask.Response:
        if self._arranged is None:
            response.message = 'there is no task to judge: call arrange_task first.'
            return response
        task, goal = self._arranged

        def judge(simulation: FrankaSimulation) -> None:
            response.distance = task.distance(simulation, goal)
            response.position = task.position(simulation)
            if request.final:  # last: it may move the arm
                response.succeeded = task.succeeded(simulation, goal)

        self._loop.inspect(judge)
        response.success = True
        return response
