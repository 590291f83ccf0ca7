# SPDX-License-Identifier: Apache-2.0
"""Cup, box and plate: where they are, how they stand, and who holds them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import euler_to_quaternion_xyzw
from vjepa_planner.simulation import (
    FrankaSimulation,
    GRASPABLE,
    PLATE,
    REST_HEIGHT,
    SimulationConfig,
    staging,
)
from vjepa_planner.simulation.scripted_hand import CLEAR_HEIGHT, ScriptedHand

LOW, HIGH = np.array([0.4, -0.2]), np.array([0.6, 0.2])

each_object = pytest.mark.parametrize('name', GRASPABLE)


@pytest.fixture(scope='module')
def shared_simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=16))


@pytest.fixture
def simulation(shared_simulation: FrankaSimulation) -> FrankaSimulation:
    """Cup and box stand apart, the hand is above."""
    shared_simulation.reset(0)
    for name, place in (('cup', (0.45, -0.15)), ('box', (0.55, 0.15)), (PLATE, (0.4, 0.1))):
        shared_simulation.objects.put(name, (*place, REST_HEIGHT.get(name, 0.0)))
    shared_simulation.place_end_effector((0.5, 0.0, 0.3), gripper_width=0.08)
    return shared_simulation


def test_scattered_objects_stand_apart_in_their_region(simulation: FrankaSimulation) -> None:
    for seed in range(10):
        simulation.objects.scatter(np.random.default_rng(seed), LOW, HIGH, 0.12)
        simulation.place_end_effector((0.5, 0.0, 0.3))
        places = [simulation.objects.position(name)[:2] for name in (*GRASPABLE, PLATE)]
        assert all((place >= LOW).all() and (place <= HIGH).all() for place in places)
        for one, other in itertools.combinations(places, 2):
            assert np.linalg.norm(one - other) > 0.12
        assert max(map(simulation.objects.tilt, GRASPABLE)) < 1e-6


def test_too_little_room_is_an_error_and_no_endless_search(simulation: FrankaSimulation) -> None:
    with pytest.raises(InvalidInputError, match=r'no room for three objects 0\.5 m apart'):
        simulation.objects.scatter(np.random.default_rng(0), LOW, HIGH, 0.5)


@pytest.mark.parametrize(
    ('name', 'turn', 'tilt'),
    [('cup', 90, 90), ('cup', 180, 180), ('box', 90, 0), ('box', 180, 0), ('box', 30, 30)],
)
def test_a_box_stands_on_any_face_and_a_cup_on_its_foot_only(
    simulation: FrankaSimulation, name: str, turn: float, tilt: float
) -> None:
    quaternion = euler_to_quaternion_xyzw([np.radians(turn), 0.0, 0.3])
    simulation.objects.put(name, (0.5, 0.2, 0.2), quaternion)
    simulation.place_end_effector((0.5, 0.0, 0.3))
    assert np.degrees(simulation.objects.tilt(name)) == pytest.approx(tilt, abs=0.01)
    np.testing.assert_allclose(np.abs(simulation.objects.pose(name)[1]), np.abs(quaternion))


@each_object
def test_a_staged_grasp_holds_against_gravity_wherever_it_is_carried(
    simulation: FrankaSimulation, name: str
) -> None:
    assert simulation.objects.touching_fingers(name) == 0
    staging.grasp(simulation, name)
    assert simulation.objects.is_between_fingers(name)
    offset = simulation.objects.position(name) - simulation.state()[:3]
    staging.carry(simulation, name, (0.6, -0.1, 0.3))
    simulation.advance(2.0)
    np.testing.assert_allclose(simulation.state()[:3], (0.6, -0.1, 0.3), atol=0.003)
    now = simulation.objects.position(name) - simulation.state()[:3]
    np.testing.assert_allclose(now, offset, atol=0.003)
    assert simulation.objects.speed(name) < 0.005


@each_object
def test_objects_are_held_at_every_angle(simulation: FrankaSimulation, name: str) -> None:
    place = simulation.objects.position(name)
    for degrees in range(0, 90, 15):
        turned = euler_to_quaternion_xyzw([0.0, 0.0, np.radians(degrees)])
        simulation.place_end_effector((0.5, 0.0, 0.3), gripper_width=0.08)
        simulation.objects.put(name, place, turned)
        staging.grasp(simulation, name)
        staging.carry(simulation, name, (0.5, 0.0, 0.3))
        simulation.advance(0.5)
        assert simulation.objects.is_between_fingers(name), degrees


@each_object
def test_the_scripted_hand_goes_over_things_and_not_through_them(
    simulation: FrankaSimulation, name: str
) -> None:
    hand = ScriptedHand(simulation)
    place = simulation.objects.position(name)
    beside = place + np.array([0.09, 0.0, 0.05 - place[2]])
    simulation.place_end_effector(beside, gripper_width=0.0)
    first = hand.grasp(name)
    np.testing.assert_allclose(first[:2], 0.0, atol=1e-6)  # up before across
    assert first[2] > 0.05
    assert first[6] < 0  # and open
    for _ in range(10):
        simulation.apply(hand.grasp(name))
    assert simulation.objects.is_between_fingers(name)
    assert np.abs(simulation.objects.position(name) - place).max() < 0.01  # it was not pushed
    for _ in range(10):
        simulation.apply(hand.put_down(name, (0.6, 0.0)))
    assert simulation.objects.touching_fingers(name) == 0
    assert simulation.state()[2] > CLEAR_HEIGHT - 0.01
    np.testing.assert_allclose(simulation.objects.position(name)[:2], (0.6, 0.0), atol=0.015)
