# SPDX-License-Identifier: Apache-2.0
"""The loose things on the table: where they are, who touches them, and putting them elsewhere."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation.scene import BOX_HALF_SIZE

Float64Array = npt.NDArray[np.float64]

GRASPABLE = ('cup', 'box')
PLATE = 'plate'

REST_HEIGHT = {'cup': 0.0, 'box': BOX_HALF_SIZE}
"""Height of an object's origin above the table when it stands [m]: a cup's is in its foot."""

_DROP = 0.0005  # [m] above the table, so that nothing begins in contact
_MAX_DRAWS = 10_000


class TableObjects:
    """Cup, box and plate of one simulation. A plate is a picture on the table: nothing meets it.

    Positions are in the base frame [m], quaternions in the order x y z w. Contacts with an object
    that was put elsewhere are known when the simulation has advanced or the hand was placed.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Look at and change ``data``."""
        self._model, self._data = model, data
        self._fingers = [model.body(f'{name}_body').id for name in fr3.FINGER_JOINT_NAMES]

    def position(self, name: str) -> Float64Array:
        """Return where the origin of ``'cup'``, ``'box'`` or ``'plate'`` is, shape (3,)."""
        position: Float64Array = self._data.body(name).xpos.copy()
        return position

    def pose(self, name: str) -> tuple[Float64Array, Float64Array]:
        """Return position (3,) and quaternion (4,) of an object."""
        return self.position(name), self._data.body(name).xquat[[1, 2, 3, 0]]

    def speed(self, name: str) -> float:
        """Return how fast the origin of a cup or box moves [m/s]."""
        start = self._model.joint(name).dofadr[0]
        return float(np.linalg.norm(self._data.qvel[start : start + 3]))

    def tilt(self, name: str) -> float:
        """Return the angle between an object and how it stands [rad]: a box stands on any face."""
        along_up = self._data.body(name).xmat.reshape(3, 3)[2]
        upright = along_up[2] if name == 'cup' else np.abs(along_up).max()
        return float(np.arccos(np.clip(upright, -1.0, 1.0)))

    def touching_fingers(self, name: str) -> int:
        """Return how many of the two fingers touch an object."""
        body = self._model.body(name).id
        return sum(self._touch(body, finger) for finger in self._fingers)

    def is_between_fingers(self, name: str) -> bool:
        """Return whether both fingers touch an object."""
        return self.touching_fingers(name) == len(self._fingers)

    def _touch(self, body: int, other: int) -> bool:
        bodies = self._model.geom_bodyid[self._data.contact.geom[: self._data.ncon]]
        return bool(((bodies == (body, other)) | (bodies == (other, body))).all(axis=1).any())

    def put(
        self, name: str, position: npt.ArrayLike, quaternion: npt.ArrayLike = (0, 0, 0, 1)
    ) -> None:
        """Put an object somewhere at once, at rest.

        Args:
            name: ``'cup'``, ``'box'`` or ``'plate'``.
            position: Of its origin, shape (3,).
            quaternion: Shape (4,); a plate always lies flat.
        """
        if name == PLATE:
            self._data.mocap_pos[self._model.body(name).mocapid[0]] = position
        else:
            joint = self._model.joint(name)
            start, speed = joint.qposadr[0], joint.dofadr[0]
            self._data.qpos[start : start + 3] = position
            self._data.qpos[start + 3 : start + 7] = np.asarray(quaternion)[[3, 0, 1, 2]]
            self._data.qvel[speed : speed + 6] = 0.0
        mujoco.mj_kinematics(self._model, self._data)

    def scatter(
        self,
        rng: np.random.Generator,
        low: Float64Array,
        high: Float64Array,
        distance: float,
    ) -> None:
        """Put cup, box and plate on random places of the table, standing.

        Args:
            rng: Source of the randomness.
            low: Smallest x y of their origins [m].
            high: Largest x y [m].
            distance: Between any two origins at least [m].

        Raises:
            InvalidInputError: There is no room.
        """
        for _ in range(_MAX_DRAWS):
            places = rng.uniform(low, high, size=(3, 2))
            gaps = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
            if gaps.min() > distance:
                break
        else:
            raise InvalidInputError(
                f'no room for three objects {distance} m apart between {low} and {high}.'
            )
        yaw = rng.uniform(0, np.pi / 2)
        cup, box, plate = places
        self.put('cup', (*cup, REST_HEIGHT['cup'] + _DROP))
        turned = (0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
        self.put('box', (*box, REST_HEIGHT['box'] + _DROP), turned)
        self.put(PLATE, (*plate, 0.0))
