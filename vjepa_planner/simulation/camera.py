# SPDX-License-Identifier: Apache-2.0
"""Where the fixed camera stands, and the two ways to render it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.types import Image

CAMERA_FRAME = 'camera_optical_frame'
CAMERA_NAME = 'camera'


@dataclass(frozen=True, kw_only=True)
class CameraPose:
    """A camera that stands still and looks at a point.

    Attributes:
        position: Optical centre in the base frame, shape (3,) [m].
        look_at: Point on the optical axis in the base frame, shape (3,) [m].
        field_of_view: Vertical opening angle [deg] (MuJoCo's unit).
    """

    position: tuple[float, float, float] = (1.14, 0.70, 0.68)
    look_at: tuple[float, float, float] = (0.44, 0.0, 0.13)
    field_of_view: float = 42.0

    def rotation_camera_to_base(self) -> npt.NDArray[np.float64]:
        """Return the rotation of MuJoCo's camera frame (x right, y up, z backwards), (3, 3)."""
        backward = np.subtract(self.position, self.look_at)
        backward /= np.linalg.norm(backward)
        right = np.cross([0.0, 0.0, 1.0], backward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(backward, right), backward], axis=1)

    def write_to(self, model: mujoco.MjModel) -> None:
        """Move the model's camera here."""
        camera = model.camera(CAMERA_NAME)
        camera.pos[:] = self.position
        camera.fovy[:] = self.field_of_view
        mujoco.mju_mat2Quat(camera.quat, self.rotation_camera_to_base().reshape(-1))

    def intrinsics(self, image_size: int) -> npt.NDArray[np.float64]:
        """Return the pinhole matrix, shape (3, 3) [px], for square images of ``image_size``."""
        focal = 0.5 * image_size / np.tan(np.radians(self.field_of_view) / 2)
        center = image_size / 2 - 0.5
        return np.array([[focal, 0, center], [0, focal, center], [0, 0, 1.0]])

    def project(self, points: npt.ArrayLike, image_size: int) -> npt.NDArray[np.float64]:
        """Return pixels (column, row), shape (..., 2), of points (..., 3) in the base frame."""
        in_camera = np.subtract(points, self.position) @ self.rotation_camera_to_base()
        matrix = self.intrinsics(image_size)
        depth = -in_camera[..., 2:]
        flipped = in_camera[..., :2] * np.array([1.0, -1.0])
        pixels: npt.NDArray[np.float64] = flipped / depth * matrix[0, 0] + matrix[:2, 2]
        return pixels


class Camera(Protocol):
    """Turns the state of the simulation into an image."""

    def render(self, data: mujoco.MjData) -> Image:
        """Return uint8 RGB of shape (image_size, image_size, 3)."""
        ...

    def close(self) -> None:
        """Free what the renderer holds."""
        ...


AVAILABLE_RENDERERS = ('ray', 'gl')


def make_camera(renderer: str, model: mujoco.MjModel, image_size: int) -> Camera:
    """Return a camera.

    Args:
        renderer: ``'ray'`` (rays on the CPU, needs no OpenGL) or ``'gl'`` (MuJoCo's OpenGL).
        model: The compiled scene.
        image_size: Width and height of the images [px].

    Raises:
        UnknownNameError: No such renderer.
        MissingDependencyError: ``'gl'`` on a machine without a usable OpenGL.
    """
    if renderer == 'ray':
        from vjepa_planner.simulation.ray_camera import RayCamera

        return RayCamera(model, image_size)
    if renderer == 'gl':
        from vjepa_planner.simulation.gl_camera import GLCamera

        return GLCamera(model, image_size)
    raise UnknownNameError('renderer', renderer, AVAILABLE_RENDERERS)
