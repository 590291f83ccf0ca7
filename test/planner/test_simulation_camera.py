# SPDX-License-Identifier: Apache-2.0
"""The pictures of the simulator against geometry."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from vjepa_planner.errors import MissingDependencyError, UnknownNameError
from vjepa_planner.simulation import (
    CameraPose,
    FrankaSimulation,
    SimulationConfig,
    WORKSPACE_MAX,
    WORKSPACE_MIN,
)
from vjepa_planner.simulation.camera import make_camera

SIZE = 128


@pytest.fixture(scope='module')
def simulation() -> FrankaSimulation:
    """Return cup and box at known places, the arm aside."""
    simulation = FrankaSimulation(SimulationConfig(image_size=SIZE))
    put(simulation, 'cup', [0.5, -0.2, 0.0])
    put(simulation, 'box', [0.62, 0.1, 0.025])
    return simulation


def put(simulation: FrankaSimulation, name: str, position: list[float]) -> None:
    joint = simulation.data.joint(name)
    joint.qpos[:3], joint.qpos[3:] = position, [1, 0, 0, 0]
    simulation.place_end_effector([0.4, 0.1, 0.35])


def mean_pixel(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def test_an_image_is_square_uint8_of_the_size_asked_for() -> None:
    for size in (16, 48):
        image = FrankaSimulation(SimulationConfig(image_size=size)).render()
        assert image.dtype == np.uint8
        assert image.shape == (size, size, 3)


def test_cup_and_box_are_seen_where_the_camera_matrix_puts_them(
    simulation: FrankaSimulation,
) -> None:
    red, green, blue = np.moveaxis(simulation.render().astype(int), -1, 0)
    centre_of_cup = simulation.object_position('cup') + np.array([0, 0, 0.045])
    cup = (red > 2.2 * green) & (red > 2.2 * blue)
    box = (blue > 2.0 * red) & (blue > 1.5 * green)
    for mask, centre in ((cup, centre_of_cup), (box, simulation.object_position('box'))):
        assert mask.sum() > 40
        column, row = CameraPose().project(centre, SIZE)
        np.testing.assert_allclose(mean_pixel(mask), [column, row], atol=1.0)
        assert mask[round(row), round(column)]


def test_the_camera_matrix_is_that_of_the_projection(simulation: FrankaSimulation) -> None:
    matrix, pose = simulation.camera_matrix(), CameraPose()
    assert matrix[0, 0] == matrix[1, 1] == pytest.approx(SIZE / 2 / np.tan(np.radians(21)))
    np.testing.assert_allclose(matrix[:2, 2], SIZE / 2 - 0.5)  # of pixels whose centres are whole
    np.testing.assert_allclose(pose.project(pose.look_at, SIZE), matrix[:2, 2], atol=1e-9)
    rotation = pose.rotation_camera_to_base()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    above = np.array(pose.look_at) + np.array([0, 0, 0.1])
    assert pose.project(above, SIZE)[1] < matrix[1, 2]  # up in the world is up in the image


def test_the_whole_workspace_is_in_view() -> None:
    corners = list(itertools.product(*zip(WORKSPACE_MIN, WORKSPACE_MAX, strict=True)))
    pixels = CameraPose().project(corners, SIZE)
    margin = 0.05 * SIZE
    assert (pixels > margin).all()
    assert (pixels < SIZE - margin).all()


@pytest.mark.parametrize('axis', range(3))
def test_a_move_of_eight_centimetres_changes_a_tenth_of_the_image(
    simulation: FrankaSimulation, axis: int
) -> None:
    position = np.array([0.5, 0.0, 0.2])
    simulation.place_end_effector(position)
    before = simulation.render().astype(int)
    position[axis] += 0.08
    simulation.place_end_effector(position)
    difference = np.abs(simulation.render() - before).max(axis=-1)
    assert (difference > 10).mean() > 0.10


def test_the_hand_throws_a_shadow_away_from_the_lamp(simulation: FrankaSimulation) -> None:
    hand = np.array([0.5, 0.0, 0.36])
    lamp = simulation.model.light_pos[0]
    on_table = lamp + (hand - lamp) * lamp[2] / (lamp[2] - hand[2])
    column, row = np.round(CameraPose().project(on_table, SIZE)).astype(int)
    simulation.place_end_effector([0.4, -0.26, 0.3])
    lit = simulation.render()[row, column].astype(float)
    simulation.place_end_effector(hand - np.array([0, 0, 0.06]))
    shaded = simulation.render()[row, column].astype(float)
    assert (shaded < 0.7 * lit).all()
    np.testing.assert_allclose(shaded / shaded.sum(), lit / lit.sum(), atol=0.03)  # the same wood


def test_a_brighter_lamp_makes_a_brighter_image() -> None:
    simulation = FrankaSimulation(SimulationConfig(image_size=32))
    simulation.model.light_diffuse[0] = 0.3
    dim = simulation.render()
    simulation.model.light_diffuse[0] = 0.6
    assert simulation.render().mean() > dim.mean() + 5


def test_a_coarse_image_shows_what_a_fine_one_shows() -> None:
    images = []
    for size in (32, 128):
        simulation = FrankaSimulation(SimulationConfig(image_size=size))
        simulation.reset(3)
        images.append(simulation.render().astype(float))
    shrunk = images[1].reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(images[0] - shrunk).mean() < 6.0


def test_an_unknown_renderer_is_refused_with_a_suggestion(simulation: FrankaSimulation) -> None:
    with pytest.raises(UnknownNameError, match=r"'rays'\. Did you mean 'ray'\?.*ray, gl"):
        make_camera('rays', simulation.model, SIZE)


def test_opengl_renders_the_same_view(simulation: FrankaSimulation) -> None:
    try:
        camera = make_camera('gl', simulation.model, SIZE)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    red, green, blue = np.moveaxis(camera.render(simulation.data).astype(int), -1, 0)
    camera.close()
    cup = (red > 2.2 * green) & (red > 2.2 * blue)
    centre = simulation.object_position('cup') + np.array([0, 0, 0.045])
    np.testing.assert_allclose(mean_pixel(cup), CameraPose().project(centre, SIZE), atol=1.5)


def test_opengl_that_does_not_start_says_what_it_needs_and_leaves_no_trace(
    simulation: FrankaSimulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    too_large = 10_000  # for the scene's buffer, with or without OpenGL
    with pytest.raises(MissingDependencyError, match=r'pyopengl.*libegl1.*Renderer .ray. needs'):
        make_camera('gl', simulation.model, too_large)
    assert 'MUJOCO_GL' not in os.environ
