# SPDX-License-Identifier: Apache-2.0
"""What a seed changes with and without each variation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.simulation import CameraPose, FrankaSimulation, SimulationConfig, VARIATIONS
from vjepa_planner.simulation.variation import parse_variations

OBJECTS = ('cup', 'box', 'plate')
SEEDS = range(12)
# The arrays of the compiled scene that a variation may write.
WRITES = {
    'colors': {'mat_rgba'},
    'lights': {'light_pos', 'light_diffuse', 'headlight'},
    'camera': {'cam_pos', 'cam_quat'},
}


@pytest.fixture(scope='module')
def simulation() -> FrankaSimulation:
    return FrankaSimulation(SimulationConfig(image_size=32))


def looks(simulation: FrankaSimulation) -> dict[str, np.ndarray]:
    model = simulation.model
    names = ('mat_rgba', 'geom_rgba', 'light_pos', 'light_diffuse', 'cam_pos', 'cam_quat',
             'cam_fovy')  # fmt: skip
    ambient = model.vis.headlight.ambient
    return {name: getattr(model, name).copy() for name in names} | {'headlight': ambient.copy()}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize('variation', VARIATIONS)
def test_a_variation_changes_only_what_it_is_named_after(
    simulation: FrankaSimulation, variation: str
) -> None:
    for seed in SEEDS[:4]:
        simulation.reset(seed)
        plain, scene, image = looks(simulation), simulation.data.qpos.copy(), simulation.render()
        simulation.reset(seed, vary=frozenset({variation}))
        assert changed(plain, looks(simulation)) == WRITES[variation]
        np.testing.assert_array_equal(simulation.data.qpos, scene)
        assert not np.array_equal(simulation.render(), image)
        simulation.reset(seed)
        assert changed(plain, looks(simulation)) == set()
        np.testing.assert_array_equal(simulation.render(), image)


def test_variations_do_not_depend_on_each_other(simulation: FrankaSimulation) -> None:
    simulation.reset(5, vary=frozenset({'colors'}))
    alone = simulation.model.mat_rgba.copy()
    simulation.reset(5, vary=frozenset(VARIATIONS))
    np.testing.assert_array_equal(simulation.model.mat_rgba, alone)


def test_looks_differ_from_seed_to_seed(simulation: FrankaSimulation) -> None:
    found = []
    for seed in SEEDS[:2]:
        simulation.reset(seed, vary=frozenset(VARIATIONS))
        found.append(looks(simulation))
    assert changed(*found) == set.union(*WRITES.values())


def test_the_arm_keeps_its_colours_and_the_cup_stays_colourful(
    simulation: FrankaSimulation,
) -> None:
    model = simulation.model
    arm = [model.material(name).id for name in ('arm', 'arm_dark', 'hand', 'finger')]
    simulation.reset(0)
    before = model.mat_rgba[arm].copy()
    for seed in SEEDS:
        simulation.reset(seed, vary=frozenset({'colors'}))
        np.testing.assert_array_equal(model.mat_rgba[arm], before)
        assert np.ptp(model.material('cup').rgba[:3]) > 0.15
        assert ((model.mat_rgba >= 0) & (model.mat_rgba <= 1)).all()


def test_the_camera_moves_by_centimetres_only(simulation: FrankaSimulation) -> None:
    for seed in SEEDS:
        simulation.reset(seed, vary=frozenset({'camera'}))
        moved = simulation.model.camera('camera').pos - np.array(CameraPose().position)
        assert 0 < np.abs(moved).max() <= 0.02


def test_objects_lie_apart_on_the_table_at_places_that_the_seed_decides(
    simulation: FrankaSimulation,
) -> None:
    places = []
    for seed in SEEDS:
        simulation.reset(seed)
        positions = np.array([simulation.object_position(name) for name in OBJECTS])
        for a, b in itertools.combinations(positions, 2):
            assert np.linalg.norm(a[:2] - b[:2]) > 0.13
        assert (np.abs(positions[:, 1]) <= 0.30).all()
        assert (positions[:, 0] >= 0.36).all()
        assert (positions[:, 0] <= 0.68).all()
        places.append(positions)
    assert np.array(places)[..., :2].std(axis=0).min() > 0.05


def test_objects_rest_where_they_were_put(simulation: FrankaSimulation) -> None:
    simulation.reset(2)
    simulation.place_end_effector([0.5, 0.0, 0.35])
    before = {name: simulation.object_position(name) for name in OBJECTS}
    simulation.advance(1.0)
    for name, position in before.items():
        np.testing.assert_allclose(simulation.object_position(name), position, atol=0.001)


def test_an_unknown_variation_is_refused_with_a_suggestion() -> None:
    assert parse_variations(frozenset({'colors', 'camera'})) == {'colors', 'camera'}
    with pytest.raises(UnknownNameError, match=r"'light'.* Did you mean 'lights'"):
        parse_variations(frozenset({'colors', 'light'}))
