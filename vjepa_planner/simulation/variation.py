# SPDX-License-Identifier: Apache-2.0
"""What differs from one simulated episode to the next: object poses always, looks on request."""

from __future__ import annotations

import colorsys

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.simulation.camera import CameraPose
from vjepa_planner.simulation.objects import TableObjects

VARIATIONS = ('colors', 'lights', 'camera')

_OBJECT_REGION_MIN = np.array([0.36, -0.30])  # x y of the table top [m]
_OBJECT_REGION_MAX = np.array([0.68, 0.30])
_OBJECT_DISTANCE = 0.13  # [m] between the centres of cup, box and plate
_CAMERA_SHIFT = 0.02  # [m]
_COLORFUL = ('cup', 'box')
_PALE = ('table', 'floor', 'wall', 'plate')


def parse_variations(names: frozenset[str]) -> frozenset[str]:
    """Return ``names`` if all of them exist.

    Raises:
        UnknownNameError: One does not.
    """
    for name in sorted(names):
        if name not in VARIATIONS:
            raise UnknownNameError('variation', name, VARIATIONS)
    return names


def place_objects(objects: TableObjects, rng: np.random.Generator) -> None:
    """Put cup, box and plate on random free places of the table."""
    objects.scatter(rng, _OBJECT_REGION_MIN, _OBJECT_REGION_MAX, _OBJECT_DISTANCE)


def vary_looks(
    model: mujoco.MjModel,
    default: mujoco.MjModel,
    variations: frozenset[str],
    rng: np.random.Generator,
) -> None:
    """Write colours, lamp and camera into ``model``; what is not varied is as in ``default``.

    The random numbers of each variation are drawn whether or not it is used, so that one seed
    gives the same objects and start poses with and without it.
    """
    model.mat_rgba[:] = default.mat_rgba
    model.light_pos[:] = default.light_pos
    model.light_diffuse[:] = default.light_diffuse
    model.vis.headlight.ambient[:] = default.vis.headlight.ambient
    colors, lights, camera = rng.spawn(3)
    if 'colors' in variations:
        _vary_colors(model, colors)
    if 'lights' in variations:
        _vary_lights(model, lights)
    pose = CameraPose()
    if 'camera' in variations:
        shift = camera.uniform(-_CAMERA_SHIFT, _CAMERA_SHIFT, (2, 3))
        position, look_at = np.array([pose.position, pose.look_at]) + shift
        pose = CameraPose(position=tuple(position), look_at=tuple(look_at))
    pose.write_to(model)


def _vary_colors(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    for name in _COLORFUL:
        model.material(name).rgba[:3] = _color(rng, (0.5, 1.0), (0.35, 0.95))
    for name in _PALE:
        model.material(name).rgba[:3] = _color(rng, (0.0, 0.5), (0.3, 0.95))
    model.material('plate_inside').rgba[:3] = model.material('plate').rgba[:3] * 0.87


def _color(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Return a random RGB colour in 0..1 with saturation and value in the given ranges."""
    hue = rng.uniform()
    return np.array(colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value)))


def _vary_lights(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    model.light_pos[0] += rng.uniform([-0.8, -0.5, -0.5], [0.8, 0.9, 0.5])
    model.light_diffuse[0] *= rng.uniform(0.5, 1.3) * rng.uniform(0.9, 1.1, 3)
    model.vis.headlight.ambient[:] *= rng.uniform(0.7, 1.25)
