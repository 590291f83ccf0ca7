# SPDX-License-Identifier: Apache-2.0
"""A camera that casts rays with MuJoCo on the CPU: the same picture on every machine, without GL.

One ray per pixel finds the visible surface, a second one from the lamp finds its shadow, and the
colour follows the Blinn-Phong model: ambient + headlight + lamp (diffuse and specular).
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.simulation.camera import CAMERA_NAME
from vjepa_planner.simulation.scene import BACKGROUND_GROUP
from vjepa_planner.types import Image

_MAX_DISTANCE = 20.0  # [m]
_SHADOW_TOLERANCE = 4e-3  # [m], against a surface shadowing itself
_SHININESS = 30
_SPECULAR = 0.25
_AMBIENT = 0.35
_HEADLIGHT = 0.25
_LAMP = 0.5 / 0.55  # times the lamp's diffuse colour
_BACKGROUND = (0.68, 0.70, 0.72)
_VISIBLE_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)  # group 3 holds collision shapes


class RayCamera:
    """Renders the scene's camera by ray casting."""

    def __init__(self, model: mujoco.MjModel, image_size: int) -> None:
        """Prepare the buffers.

        Args:
            model: The compiled scene; colours, lamp and camera pose are read at every render.
            image_size: Width and height of the images [px].
        """
        self._model = model
        self._size = image_size
        count = image_size * image_size
        self._camera_id = model.camera(CAMERA_NAME).id
        self._rays_key: bytes = b''
        self._rays = np.empty((count, 3))
        self._geom = np.empty(count, np.int32)
        self._distance = np.empty(count)
        self._normal = np.empty(count * 3)
        self._lamp_geom = np.empty(count, np.int32)
        self._lamp_distance = np.empty(count)

    def render(self, data: mujoco.MjData) -> Image:
        """Return uint8 RGB of shape (image_size, image_size, 3); see ``Camera``."""
        origin = data.cam_xpos[self._camera_id].copy()
        rays = self._rays_to_base(data.cam_xmat[self._camera_id].reshape(3, 3))
        mujoco.mj_multiRay(
            self._model, data, origin, rays.reshape(-1), _VISIBLE_GROUPS, 1, -1,
            self._geom, self._distance, self._normal, len(rays), _MAX_DISTANCE,
        )  # fmt: skip
        hit = self._geom >= 0
        points = origin + rays * np.where(hit, self._distance, _MAX_DISTANCE)[:, None]
        color = self._shade(data, points, rays.astype(np.float32))
        color = np.where(hit[:, None], color, np.array(_BACKGROUND, np.float32))
        return (np.clip(color, 0, 1) * 255).astype(np.uint8).reshape(self._size, self._size, 3)

    def close(self) -> None:
        """Hold nothing, free nothing."""

    def _rays_to_base(self, rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return one unit vector per pixel in the base frame, (pixels, 3); kept while it fits."""
        field_of_view = float(self._model.cam_fovy[self._camera_id])
        key = rotation.tobytes() + np.float64(field_of_view).tobytes()
        if key != self._rays_key:
            focal = 0.5 * self._size / np.tan(np.radians(field_of_view) / 2)
            offsets = (np.arange(self._size) + 0.5 - self._size / 2) / focal
            right, up = np.meshgrid(offsets, -offsets)
            rays = np.stack([right, up, -np.ones_like(right)], axis=-1).reshape(-1, 3)
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
            self._rays, self._rays_key = np.ascontiguousarray(rays @ rotation.T), key
        return self._rays

    def _shade(
        self,
        data: mujoco.MjData,
        points: npt.NDArray[np.float64],
        rays: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Return the colour of each hit point, shape (pixels, 3), in 0..1 and a little above."""
        model = self._model
        lamp = model.light_pos[0].copy()
        from_lamp = points - lamp
        lamp_distance = np.sqrt(np.einsum('ij,ij->i', from_lamp, from_lamp))
        from_lamp /= lamp_distance[:, None]
        lit = self._is_lit(data, lamp, from_lamp, lamp_distance)
        normal = self._normal.reshape(-1, 3).astype(np.float32)
        to_lamp = -from_lamp.astype(np.float32)
        facing = np.clip(-np.einsum('ij,ij->i', normal, rays), 0, 1)
        diffuse = np.clip(np.einsum('ij,ij->i', normal, to_lamp), 0, 1) * lit
        halfway = to_lamp - rays
        halfway /= np.sqrt(np.einsum('ij,ij->i', halfway, halfway))[:, None]
        shine = np.clip(np.einsum('ij,ij->i', normal, halfway), 0, 1) ** _SHININESS
        lamp_color = model.light_diffuse[0].astype(np.float32) * np.float32(_LAMP)
        head = model.vis.headlight
        ambient = np.float32(head.ambient[0] / 0.35 * _AMBIENT)
        brightness = (ambient + np.float32(_HEADLIGHT) * facing)[:, None]
        brightness = brightness + diffuse[:, None] * lamp_color
        highlight = (np.float32(_SPECULAR) * shine * lit)[:, None]
        color: npt.NDArray[np.float32] = self._geom_colors()[self._geom] * brightness + highlight
        return color

    def _is_lit(
        self,
        data: mujoco.MjData,
        lamp: npt.NDArray[np.float64],
        from_lamp: npt.NDArray[np.float64],
        lamp_distance: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.bool_]:
        """Return whether nothing stands between the lamp and each point, shape (pixels,)."""
        receives_shadow = self._model.geom_group[self._geom] != BACKGROUND_GROUP
        indices = np.flatnonzero(receives_shadow & (self._geom >= 0))
        directions = np.ascontiguousarray(from_lamp[indices])
        count = len(indices)
        blocker, distance = self._lamp_geom[:count], self._lamp_distance[:count]
        mujoco.mj_multiRay(
            self._model, data, lamp, directions.reshape(-1), _VISIBLE_GROUPS, 1, -1,
            blocker, distance, None, count, _MAX_DISTANCE,
        )  # fmt: skip
        lit = np.ones(len(lamp_distance), bool)
        lit[indices] = (distance > lamp_distance[indices] - _SHADOW_TOLERANCE) | (blocker < 0)
        return lit

    def _geom_colors(self) -> npt.NDArray[np.float32]:
        """Return the colour of every geom, shape (geoms, 3): its material's where it has one."""
        model = self._model
        has_material = model.geom_matid >= 0
        colors = np.where(has_material[:, None], model.mat_rgba[model.geom_matid], model.geom_rgba)
        rgb: npt.NDArray[np.float32] = colors[:, :3].astype(np.float32)
        return rgb
