# SPDX-License-Identifier: Apache-2.0
"""What the judges call a success, and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_planner.evaluation.criteria import is_lifted, is_placed
from vjepa_planner.geometry import euler_to_quaternion_xyzw
from vjepa_planner.simulation import FrankaSimulation, REST_HEIGHT, SimulationConfig, staging

each_object = pytest.mark.parametrize('name', ['cup', 'box'])


@pytest.fixture(scope='module')
def shared_simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=16))


@pytest.fixture
def simulation(shared_simulation: FrankaSimulation) -> FrankaSimulation:
    shared_simulation.reset(0)
    shared_simulation.objects.put('plate', (0.5, 0.15, 0.0))
    shared_simulation.objects.put('cup', (0.4, -0.2, 0.0))
    shared_simulation.objects.put('box', (0.6, -0.2, REST_HEIGHT['box']))
    shared_simulation.place_end_effector((0.5, 0.0, 0.3))
    return shared_simulation


def put_on_plate(
    simulation: FrankaSimulation, name: str, off: float = 0.0, up: float = 0.0, tilt: float = 0.0
) -> None:
    place = (0.5 + off, 0.15, REST_HEIGHT[name] + up)
    simulation.objects.put(name, place, euler_to_quaternion_xyzw([tilt, 0.0, 0.0]))
    simulation.place_end_effector((0.5, 0.0, 0.3))


@each_object
def test_an_object_on_the_plate_is_placed(simulation: FrankaSimulation, name: str) -> None:
    assert not is_placed(simulation, name)
    put_on_plate(simulation, name)
    assert is_placed(simulation, name)
    put_on_plate(simulation, name, off=0.039)
    assert is_placed(simulation, name)


@each_object
@pytest.mark.parametrize(
    'wrong',
    [{'off': 0.041}, {'up': 0.05}, {'tilt': np.radians(12)}],
    ids=['beside it', 'above it', 'leaning'],
)
def test_an_object_that_does_not_stand_on_the_plate_is_not_placed(
    simulation: FrankaSimulation, name: str, wrong: dict[str, float]
) -> None:
    put_on_plate(simulation, name, **wrong)
    assert not is_placed(simulation, name)


def test_a_cup_that_lies_on_the_plate_is_not_placed_but_a_box_on_its_side_is(
    simulation: FrankaSimulation,
) -> None:
    for name in ('cup', 'box'):
        put_on_plate(simulation, name, tilt=np.pi / 2)
    simulation.objects.put('cup', (0.4, -0.2, 0.0))
    assert is_placed(simulation, 'box')
    put_on_plate(simulation, 'cup', up=0.031, tilt=np.pi / 2)
    assert is_placed(simulation, 'cup') is False  # no number of numpy's, which JSON does not take


@each_object
def test_an_object_that_falls_past_the_right_place_is_not_placed(
    simulation: FrankaSimulation, name: str
) -> None:
    put_on_plate(simulation, name, up=0.02)
    for _ in range(20):
        simulation.advance(0.02)
        if simulation.objects.position(name)[2] < REST_HEIGHT[name] + 0.009:
            break
    assert simulation.objects.speed(name) > 0.02
    assert not is_placed(simulation, name)
    simulation.advance(0.5)
    assert is_placed(simulation, name)


@each_object
def test_an_object_is_placed_when_it_is_let_go(simulation: FrankaSimulation, name: str) -> None:
    put_on_plate(simulation, name)
    staging.grasp(simulation, name)
    assert simulation.objects.is_between_fingers(name)
    assert not is_placed(simulation, name)
    simulation.set_gripper_target(0.08)
    simulation.advance(1.0)
    assert simulation.objects.touching_fingers(name) == 0
    assert is_placed(simulation, name)


@each_object
def test_an_object_is_lifted_when_the_fingers_hold_it_up(
    simulation: FrankaSimulation, name: str
) -> None:
    staging.grasp(simulation, name)
    assert not is_lifted(simulation, name)  # it stands on the table
    hand = simulation.state()[:3]
    staging.carry(simulation, name, hand + np.array([0.0, 0.0, 0.035]))
    assert not is_lifted(simulation, name)
    staging.carry(simulation, name, hand + np.array([0.0, 0.0, 0.045]))
    assert is_lifted(simulation, name)
    simulation.advance(1.0)
    assert is_lifted(simulation, name)


@each_object
def test_an_object_in_the_air_that_nobody_holds_is_not_lifted(
    simulation: FrankaSimulation, name: str
) -> None:
    simulation.objects.put(name, (0.5, 0.15, 0.2))
    simulation.place_end_effector((0.5, 0.0, 0.3), gripper_width=0.03)
    assert not is_lifted(simulation, name)
