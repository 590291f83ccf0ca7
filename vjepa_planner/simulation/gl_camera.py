# SPDX-License-Identifier: Apache-2.0
"""A camera that renders with MuJoCo's OpenGL: faster with a driver, but not the same picture."""

from __future__ import annotations

from functools import cache
import importlib
import os
import sys
from typing import Any

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
        try:
            self._renderer = _renderer_class()(model, image_size, image_size)
        except Exception as error:  # MuJoCo raises many kinds, from AttributeError to FatalError.
            raise MissingDependencyError(
                f'the OpenGL camera could not start ({type(error).__name__}: {error}). It needs '
                'the Python packages glfw and pyopengl, and the system packages libegl1 and '
                "libgl1. Renderer 'ray' needs none of them."
            ) from error

    def render(self, data: mujoco.MjData) -> Image:
        """Return uint8 RGB of shape (image_size, image_size, 3); see ``Camera``."""
        self._renderer.update_scene(data, CAMERA_NAME)
        image: Image = self._renderer.render().copy()
        return image

    def close(self) -> None:
        """Close the context; without this the interpreter's exit prints errors."""
        self._renderer.close()


@cache
def _renderer_class() -> Any:  # noqa: ANN401 - made anew by the reload
    """Return MuJoCo's renderer, set to draw without a window where there is no display.

    MuJoCo reads ``MUJOCO_GL`` once, when it is imported. Setting it before that, here or for child
    processes, would break the other camera too where only a part of OpenGL is installed.
    """
    renderer = sys.modules[mujoco.Renderer.__module__]
    if sys.platform == 'linux' and not {'MUJOCO_GL', 'DISPLAY'} & os.environ.keys():
        os.environ['MUJOCO_GL'] = 'egl'
        try:
            importlib.reload(renderer.gl_context)
            renderer = importlib.reload(renderer)
        finally:
            del os.environ['MUJOCO_GL']
    return renderer.Renderer
