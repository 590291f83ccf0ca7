# SPDX-License-Identifier: Apache-2.0
"""The planner plans when everything it needs is there, and says what is missing otherwise."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Header

from vjepa_msgs.msg import Embedding, Goal, Plan, Status
from vjepa_planner import geometry, load_world_model, ModelPredictiveController, Observation
from vjepa_planner import Goal as VjepaGoal
from vjepa_planner.calibration import Calibration, write_calibration
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.robots.hand_frames import FrameChange
from vjepa_ros import conversions, qos
from vjepa_ros.planner_node import PlannerNode

STATE = np.array([0.45, 0.1, 0.25, 3.0, 0.1, -0.2, 0.25])


class Surroundings:
    """Everything around the planner, played by the observer."""

    def __init__(self, graph, model) -> None:
        self.graph = graph
        world_model = load_world_model(model, device='cpu')
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        self.now_embedding, self.goal_embedding = world_model.encode(images)
        self.plans = graph.record(Plan, 'plan', qos.RESULT)
        self.energies = graph.record(Float64, 'energy', qos.RESULT)
        self.embeddings = graph.publisher(Embedding, 'embedding', qos.RESULT)
        self.goals = graph.publisher(Goal, 'goal', qos.GOAL)
        self.poses = graph.publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
        self.joints = graph.publisher(JointState, '/joint_states', qos.ROBOT_STATE_SOURCE)
        self.statuses = graph.publisher(Status, 'status', qos.STATUS)

    def set_goal(self, goal_id: str = 'goal-1', **changes) -> None:
        embedding = conversions.embedding_to_message(self.goal_embedding, 'tiny', Header())
        for name, value in changes.items():
            setattr(embedding, name, value)
        self.goals.publish(Goal(goal_id=goal_id, embedding=embedding))

    def measure(self) -> None:
        header = Header(stamp=self.graph.now(), frame_id='fr3_link0')
        quaternion = geometry.euler_to_quaternion_xyzw(STATE[3:6])
        self.poses.publish(conversions.pose_to_message(STATE[:3], quaternion, header))
        names = ['fr3_joint1', 'fr3_finger_joint2', 'fr3_finger_joint1']
        self.joints.publish(JointState(header=header, name=names, position=[1.0, 0.03, 0.03]))

    def commander(self, state: int = Status.IDLE, **fields) -> None:
        fields = {'settled': self.graph.now(), **fields}
        self.statuses.publish(Status(node='commander', state=state, **fields))

    def look(self) -> Header:
        header = Header(stamp=self.graph.now(), frame_id='camera')
        message = conversions.embedding_to_message(self.now_embedding, 'tiny', header)
        self.embeddings.publish(message)
        return header

    def plan(self) -> Plan:
        """Take the plan before, and offer everything again and again until a new one comes."""
        at_rest, count = self.graph.now(), len(self.plans)
        taken = self.plans[-1].header.stamp if self.plans else Time()

        def plan() -> bool:
            self.measure()
            self.commander(settled=at_rest, plan_stamp=taken)
            self.look()
            return len(self.plans) > count

        self.graph.wait_until(plan, 'plan')
        return self.plans[count]


@pytest.fixture
def planner(graph, tiny_model) -> Surroundings:
    graph.begin(
        planner={
            'model': str(tiny_model),
            'device': 'cpu',
            'image_max_age': 20.0,
            'state_max_age': 20.0,
            'answer_timeout': 60.0,
        }
    )
    graph.start(PlannerNode())
    return Surroundings(graph, tiny_model)


def test_a_plan_carries_goal_state_stamp_energy_and_effort(planner) -> None:
    planner.set_goal('goal-3')
    plan = planner.plan()
    actions = conversions.actions_from_message(plan)
    assert actions.shape == (1, 7)
    assert np.abs(actions[:, :3]).max() <= 0.05, 'the limit that the model recommends'
    np.testing.assert_allclose(plan.state, STATE, atol=1e-9)
    assert (plan.goal_id, plan.header.frame_id) == ('goal-3', 'fr3_link0')
    assert plan.evaluations >= 2 * 16
    assert plan.duration > 0.0
    assert plan.energy > 0.0
    expected = np.abs(planner.now_embedding - planner.goal_embedding).mean()
    assert plan.current_energy == pytest.approx(expected, rel=1e-5)
    planner.graph.wait_until(lambda: planner.energies, 'energy')
    assert planner.energies[0].data == plan.current_energy


def test_it_says_what_is_missing_one_after_the_other(planner) -> None:
    graph = planner.graph
    planner.look()
    graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    planner.set_goal()
    graph.wait_for_status('planner', Status.WAITING, 'no measured pose yet')
    planner.measure()
    graph.wait_until(lambda: planner.look() and 'commander' in graph.status('planner').reason, '')
    graph.wait_for_status('planner', Status.WAITING, 'the commander is silent')
    planner.commander(Status.EXECUTING)
    graph.wait_for_status('planner', Status.WAITING, 'arm moves')
    planner.commander(Status.STOPPED, reason='stopped: call the service start')
    graph.wait_for_status('planner', Status.WAITING, 'call the service start')
    assert not planner.plans


def test_it_stops_when_the_goal_node_is_lost_and_goes_on_when_it_is_back(planner) -> None:
    planner.set_goal()
    planner.plan()  # nobody says that there is a goal node: goals may come from elsewhere
    planner.statuses.publish(Status(node='goal', state=Status.IDLE))
    planner.graph.wait_until(
        lambda: (
            planner.look() and 'the goal node is silent' in planner.graph.status('planner').reason
        ),
        'silence',
    )
    planned = len(planner.plans)
    at_rest = planner.graph.now()

    def offer() -> None:
        planner.measure()
        planner.commander(settled=at_rest, plan_stamp=planner.plans[-1].header.stamp)
        planner.look()

    offers = iter(range(20))
    planner.graph.wait_until(lambda: offer() or next(offers, None) is None, 'many offers')
    assert len(planner.plans) == planned

    def planned_again() -> bool:
        planner.statuses.publish(Status(node='goal', state=Status.IDLE))
        offer()
        return len(planner.plans) > planned

    planner.graph.wait_until(planned_again, 'a plan')


def test_it_waits_for_an_image_of_the_resting_arm(planner) -> None:
    planner.set_goal()
    planner.measure()
    planner.look()
    planner.commander()  # at rest since now: later than the image
    planner.graph.wait_for_status('planner', Status.WAITING, 'image of the resting arm')
    assert not planner.plans


def test_it_does_not_plan_again_before_the_commander_took_the_plan(planner) -> None:
    planner.set_goal()
    plan = planner.plan()
    planner.commander()
    planner.look()
    planner.graph.wait_for_status('planner', Status.WAITING, 'commander to take the last plan')
    at_rest = planner.graph.now()

    def planned_again() -> bool:
        planner.measure()
        planner.commander(plan_stamp=plan.header.stamp, settled=at_rest)
        planner.look()
        return len(planner.plans) > 1

    planner.graph.wait_until(planned_again, 'second plan')


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'model': 'other'}, "of model 'other'"),
        ({'tokens': 3, 'dim': 24, 'data': [0.0] * 72}, 'with 3 tokens x 24'),
        ({'data': [float('nan')] * 96}, 'NaN'),
    ],
)
def test_a_goal_that_does_not_fit_is_refused_and_the_old_one_stays(
    planner, changes, complaint
) -> None:
    planner.set_goal('good')
    planner.graph.wait_until(lambda: planner.graph.status('planner').goal_id == 'good', 'the goal')
    planner.set_goal('bad', **changes)
    planner.graph.wait_until(lambda: planner.graph.status('planner').rejected == 1, 'refusal')
    assert any(complaint in status.reason for status in planner.graph.statuses)
    assert planner.plan().goal_id == 'good'


def test_planner_settings_are_the_recommended_ones_and_can_be_changed(planner) -> None:
    node = planner.graph._running[0][0].node
    assert node.get_parameter('planner.num_samples').value == 16
    assert node.get_parameter('planner.num_iterations').value == 2
    assert node.set_parameters([Parameter('planner.num_iterations', value=5)])[0].successful
    refused = node.set_parameters([Parameter('planner.num_elites', value=17)])[0]
    assert 'num_elites must not exceed' in refused.reason
    assert not node.set_parameters([Parameter('planner.name', value='random')])[0].successful
    planner.set_goal()
    assert planner.plan().evaluations >= 5 * 16


def test_a_withdrawn_goal_is_pursued_no_longer(planner) -> None:
    planner.set_goal()
    planner.plan()
    planner.goals.publish(Goal())
    planner.graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    count = len(planner.plans)
    for _ in range(5):
        planner.measure()
        planner.commander(plan_stamp=planner.plans[-1].header.stamp)
        planner.look()
    planner.graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    assert len(planner.plans) == count


def test_a_seed_that_is_set_lets_the_randomness_begin_anew(planner) -> None:
    node = planner.graph._running[0][0].node
    planner.set_goal()
    plans = []
    for seed in (5, 6, 5):
        assert node.set_parameters([Parameter('planner.seed', value=seed)])[0].successful
        plans.append(conversions.actions_from_message(planner.plan()))
    plans.append(conversions.actions_from_message(planner.plan()))
    np.testing.assert_array_equal(plans[0], plans[2])
    for other in (plans[1], plans[3]):
        assert np.abs(plans[0] - other).max() > 1e-6


def test_a_frame_that_does_not_fit_the_model_is_refused(graph, tiny_model) -> None:
    graph.begin(planner={'model': str(tiny_model), 'device': 'cpu', 'ee_frame': 'tool0'})
    with pytest.raises(InvalidInputError, match="'tool0' is fixed to the hand is not known"):
        graph.start(PlannerNode())


def test_states_and_actions_are_those_of_the_measured_frame(graph, tiny_model) -> None:
    graph.begin(
        planner={
            'model': str(tiny_model),
            'device': 'cpu',
            'ee_frame': 'fr3_link8',  # the model's is fr3_hand_tcp
            'image_max_age': 20.0,
            'state_max_age': 20.0,
            'planner.name': 'random',
        }
    )
    node = PlannerNode()
    node.begin()
    seen: list[np.ndarray] = []
    plan = node._controller.plan
    node._controller.plan = lambda observation, goal: (
        seen.append(observation.state) or plan(observation, goal)
    )
    graph.start(node)
    planner = Surroundings(graph, tiny_model)
    planner.set_goal()
    message = planner.plan()
    np.testing.assert_allclose(message.state, STATE, atol=1e-9)
    change = FrameChange('fr3_link8', 'fr3_hand_tcp')
    np.testing.assert_allclose(seen[0], change.model_state(STATE), atol=1e-9)


def write_map(folder, model: str = 'tiny'):
    """Write a calibration that turns by a quarter and stretches, and return it and its file."""
    calibration = Calibration(
        matrix=np.array([[0.0, 1.5], [-1.5, 0.0]]),
        residual=0.01,
        condition_number=1.0,
        samples=16,
        model=model,
    )
    write_calibration(folder / 'calibration.yaml', calibration)
    return calibration, str(folder / 'calibration.yaml')


def test_a_calibration_file_turns_what_is_planned(graph, tiny_model, tmp_path) -> None:
    calibration, file = write_map(tmp_path)
    parameters = {'model': str(tiny_model), 'device': 'cpu', 'calibration_file': file}
    ages = {'image_max_age': 20.0, 'state_max_age': 20.0, 'answer_timeout': 60.0}
    graph.begin(planner=parameters | ages)
    graph.start(PlannerNode())
    surroundings = Surroundings(graph, tiny_model)
    surroundings.set_goal()
    actions = conversions.actions_from_message(surroundings.plan())
    world_model = load_world_model(tiny_model, device='cpu')
    controller = ModelPredictiveController(
        world_model, make_recommended_planner(world_model.config.planner), 0
    )
    plan = controller.plan(
        Observation(embedding=surroundings.now_embedding, state=STATE),
        VjepaGoal(embedding=surroundings.goal_embedding),
    )
    np.testing.assert_allclose(actions, calibration.corrected(plan.actions), atol=1e-6)
    assert np.abs(actions - plan.actions).max() > 0.001


def test_a_calibration_of_another_model_is_refused(graph, tiny_model, tmp_path) -> None:
    _, file = write_map(tmp_path, model='another')
    parameters = {'model': str(tiny_model), 'device': 'cpu', 'calibration_file': file}
    graph.begin(planner=parameters)
    with pytest.raises(VjepaPlannerError, match="of model 'another', the planner uses 'tiny'"):
        graph.start(PlannerNode())
