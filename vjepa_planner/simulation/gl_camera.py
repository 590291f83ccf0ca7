# SPDX-License-Identifier: Apache-2.0
"""A camera that renders with MuJoCo's OpenGL: faster with a driver, but not the same picture."""

from __future__ import annotations

import os

import mujoco

from vjepa_planner.errors import MissingDependencyError
from vjepa_planner.simulation.camera import CAMERA_NAME
from vjepa_planner.types import Image


class GLCamera:
    """Renders the scene's camera with OpenGL.

    Models are trained on one renderer; the two do not look the same (light, shadows).
    """

    def __init__(self, model: mujoco.MjModel, image_size: int) -> None:
        """Open an off-screen OpenGL context.

        Raises:
            MissingDependencyError: There is no usable OpenGL.
        """
        os.environ.setdefault('MUJOCO_GL', 'egl')
        try:
            self._renderer = mujoco.Renderer(model, image_size, image_size)
        except Exception as error:  # MuJoCo raises many kinds, from AttributeError to FatalError.
            raise MissingDependencyError(
                f'the OpenGL camera could not start ({type(error).__name__}: {error}). It needs '
                "the Python extra 'gl' and the system packages libegl1 and libgl1. Renderer "
                "'ray' needs neither."
            ) from error

    def render(self, data: mujoco.MjData) -> Image:
        """Return uint8 RGB of shape (image_size, image_size, 3); see ``Camera``."""
        self._renderer.update_scene(data, CAMERA_NAME)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Close the context; without this the interpreter's exit prints errors."""
        self._renderer.close()
