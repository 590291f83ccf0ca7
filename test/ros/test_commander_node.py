# SPDX-License-Identifier: Apache-2.0
"""The commander between a plan and an arm that the observer plays: it goes where it is told to."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from ideal_arm import Arm, HOME, PATIENT
import numpy as np
import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_ros import conversions, qos
from vjepa_ros.command_gate import GateState
from vjepa_ros.commander_node import CommanderNode


@pytest.fixture
def arm(graph) -> Arm:
    graph.begin(commander={**PATIENT, 'autostart': True})
    graph.start(CommanderNode())
    arm = Arm(graph)
    arm.wait_for_rest()
    return arm


def test_the_states_of_gate_and_message_are_the_same_numbers() -> None:
    assert {state.name: int(state) for state in GateState} == {
        name: getattr(Status, name) for name in GateState.__members__
    }


def test_a_plan_moves_the_arm_in_small_steps_and_is_answered_in_the_status(graph, arm) -> None:
    arm.plan(0.06, 0.0, -0.02, goal_id='goal-7')
    graph.wait_for_status('commander', Status.EXECUTING)
    status = graph.wait_for_status('commander', Status.IDLE)
    np.testing.assert_allclose(arm.position, HOME[:3] + np.array([0.06, 0.0, -0.02]), atol=1e-6)
    positions = [conversions.pose_from_message(target)[0] for target in arm.targets]
    steps = np.linalg.norm(np.diff([HOME[:3], *positions], axis=0), axis=1)
    assert len(positions) > 10
    assert steps.max() <= 0.25 * 0.05
    assert (status.accepted, status.rejected, status.goal_id) == (1, 0, 'goal-7')
    assert status.settled.sec >= status.plan_stamp.sec > 0


def test_the_first_target_of_a_plan_does_not_wait_for_a_tick(graph) -> None:
    graph.begin(commander={**PATIENT, 'autostart': True, 'command_rate': 20.0})
    commander = CommanderNode()
    graph.start(commander)
    arm = Arm(graph)
    for _ in range(5):  # a tick that happens to be due is not late five times
        arm.wait_for_rest()
        count = len(arm.targets)
        arm.plan(0.0, 0.001, 0.0)
        graph.wait_until(lambda count=count: len(arm.targets) > count + 1, 'targets')
        first, second = (stamp_of(target) for target in arm.targets[count : count + 2])
        assert second - first >= 0.9 / 20.0, 'the next one follows a whole period later'


def test_targets_are_stamped_with_the_tick_that_they_are_meant_for(graph, arm) -> None:
    count = len(arm.targets)
    arm.plan(0.1, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)
    graph.wait_for_status('commander', Status.IDLE)
    stamps = np.array([stamp_of(target) for target in arm.targets[count:]])
    way = [conversions.pose_from_message(target)[0][0] for target in arm.targets[count:]]
    duration = (10.0 / 3**0.5 * 0.1) ** 0.5  # of a minimum-jerk motion at 1 m/s^2
    shares = np.clip((stamps - stamps[0]) / duration, 0.0, 1.0)
    expected = HOME[0] + 0.1 * (10 * shares**3 - 15 * shares**4 + 6 * shares**5)
    if np.diff(stamps).max() <= 0.05:  # otherwise the machine was too busy to judge
        np.testing.assert_allclose(way, expected, atol=1e-6)


def stamp_of(target: PoseStamped) -> float:
    """Return the stamp of a target [s]."""
    return conversions.nanoseconds_from_stamp(target.header.stamp) * 1e-9


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'actions': [float('nan')] * 7}, 'NaN'),
        ({'actions': [0.01] * 6}, '7 numbers'),
        ({'horizon': 0, 'actions': []}, 'horizon 0'),
        ({'state': np.full(7, np.inf)}, 'NaN or infinity'),
        ({'actions': [5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]}, 'too large a jump'),
        ({'header': Header(frame_id='fr3_link0')}, 'has no stamp'),
        ({'state': HOME + 0.2}, 'from where the plan starts'),
    ],
)
def test_a_bad_plan_never_moves_the_arm(graph, arm, changes, reason) -> None:
    arm.plan(0.05, 0.0, 0.0, **changes)
    graph.wait_for_status('commander', Status.HOLDING, reason)
    assert [conversions.pose_from_message(t)[0].tolist() for t in arm.targets] == [
        HOME[:3].tolist()
    ], 'the measured pose, once'
    arm.wait_for_rest(Status.HOLDING)
    arm.plan(0.0, 0.03, 0.0)
    graph.wait_for_status('commander', Status.IDLE)
    np.testing.assert_allclose(arm.position, HOME[:3] + np.array([0.0, 0.03, 0.0]), atol=1e-6)


def test_a_plan_in_another_frame_is_refused(graph, arm) -> None:
    arm.plan(0.05, 0.0, 0.0, header=Header(stamp=graph.now(), frame_id='camera'))
    graph.wait_for_status('commander', Status.HOLDING, "frame 'camera'")


def test_a_second_publisher_of_targets_makes_it_refuse(graph, arm) -> None:
    graph.observer.create_publisher(PoseStamped, 'target_pose', qos.COMMAND)
    graph.wait_until(lambda: graph.observer.count_publishers('target_pose') == 2, 'discovery')

    def refused() -> bool:  # the commander discovers it in its own time
        arm.plan(0.0, 0.0, 0.0)
        status = graph.status('commander')
        return 'Only the commander may be' in status.reason

    graph.wait_until(refused, 'refusal')


def test_the_arm_holds_when_it_is_no_longer_measured(graph, arm) -> None:
    arm.plan(0.14, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)
    arm.timer.cancel()
    graph.wait_for_status('commander', Status.WAITING, 'no measured pose any more')


def test_stop_start_and_emergency_stop(graph, arm) -> None:
    arm.plan(0.14, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)
    graph.wait_until(lambda: len(arm.targets) > 5, 'motion')
    assert graph.call(Trigger, 'e_stop').success
    held = len(arm.targets)
    graph.wait_for_status('commander', Status.E_STOPPED, 'release_e_stop')
    assert arm.position[0] < HOME[0] + 0.12
    refused = graph.call(Trigger, 'start')
    assert not refused.success
    assert 'release_e_stop' in refused.message
    assert graph.call(Trigger, 'release_e_stop').success
    arm.plan(0.05, 0.0, 0.0)
    graph.wait_until(lambda: graph.status('commander').rejected == 1, 'refusal')
    assert graph.call(Trigger, 'start').success
    graph.wait_for_status('commander', Status.IDLE)
    assert graph.call(Trigger, 'stop').success
    graph.wait_for_status('commander', Status.STOPPED)
    assert len(arm.targets) <= held + 2, 'a hold each, and no motion'


def test_a_limit_can_be_changed_but_not_beyond_its_range(graph, arm) -> None:
    node = graph._running[0][0].node
    assert node.set_parameters([Parameter('max_speed', value=0.05)])[0].successful
    assert not node.set_parameters([Parameter('max_speed', value=9.0)])[0].successful
    assert not node.set_parameters([Parameter('command_rate', value=100.0)])[0].successful
    refused = node.set_parameters([Parameter('workspace_min', value=[1.0, 0.0, 0.0])])[0]
    assert 'workspace_min and workspace_max' in refused.reason
    before = len(arm.targets)
    arm.plan(0.05, 0.0, 0.0)
    graph.wait_for_status('commander', Status.EXECUTING)
    graph.wait_for_status('commander', Status.IDLE)
    assert (len(arm.targets) - before) / 50 >= 0.8 * 1.875 * 0.05 / 0.05


def test_it_waits_for_start_unless_told_otherwise(graph) -> None:
    graph.begin()
    graph.start(CommanderNode())
    graph.wait_for_status('commander', Status.STOPPED, 'call the service start')
    graph.call(Trigger, 'start')
    graph.wait_for_status('commander', Status.WAITING, 'started')
