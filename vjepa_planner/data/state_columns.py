# SPDX-License-Identifier: Apache-2.0
"""Where the state of V-JEPA 2-AC is among the features of somebody else's dataset.

The numbers are found by their names: a position x y z and either roll pitch yaw or a quaternion,
in one feature, and the gripper in it or in another one. Names such as ``rx ry rz`` mean Euler
angles to some and rotation vectors to others, so they are not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vjepa_planner.data.lerobot_format import STATE_KEY, STATE_NAMES
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.geometry import quaternion_xyzw_to_euler
from vjepa_planner.types import STATE_DIM

_POSITION = ('x', 'y', 'z')
_EULER = ('roll', 'pitch', 'yaw')
_QUATERNION = ('qx', 'qy', 'qz', 'qw')
_GRIPPER = ('closedness', 'gripper')
_WITH_QUATERNION = 8
# What stands before or after the word that matters: eef_x, tcp.pos.x, gripper_position, ...
_AROUND = re.compile(
    r'^((end_effector|eef|ee|tcp|cartesian|pose|position|pos|robot|arm|observation|state|euler)_)+'
    r'|(?<=gripper)_(pos|position|state)$'
)


class StateColumn(NamedTuple):
    """One number of a feature."""

    feature: str
    place: int


def find_state(features: Mapping[str, Mapping[str, Any]]) -> list[StateColumn]:
    """Return the 7 numbers of the state, or 8 where the orientation is a quaternion xyzw.

    Args:
        features: As ``info.json`` describes them.

    Raises:
        InvalidInputError: They cannot be told by their names.
    """
    own = features.get(STATE_KEY, {})
    if tuple(_names(own)) == STATE_NAMES:
        return [StateColumn(STATE_KEY, index) for index in range(STATE_DIM)]
    known = _known(features)
    for feature, names in known.items():
        for rotation in (_EULER, _QUATERNION):
            if set(_POSITION) | set(rotation) <= set(names):
                gripper = _gripper(known, feature)
                if gripper is not None:
                    pose = [StateColumn(feature, names[n]) for n in (*_POSITION, *rotation)]
                    return [*pose, gripper]
    described = '; '.join(
        f'{name} ({", ".join(_names(item)) or "without names"})'
        for name, item in features.items()
        if _is_state(name, item)
    )
    raise InvalidInputError(
        'the state (x y z, roll pitch yaw or qx qy qz qw, gripper) cannot be told from the names '
        f'of the features: {described or "there are none"}. Joint angles are not enough. Say '
        'where the numbers are with --set \'state=["FEATURE:NAME", ...]\', 7 of them with Euler '
        'angles or 8 with a quaternion.'
    )


def parse_state(
    texts: Sequence[str], features: Mapping[str, Mapping[str, Any]]
) -> list[StateColumn]:
    """Return the numbers that texts ``feature:name`` or ``feature:index`` mean.

    Raises:
        InvalidInputError: There are not 7 or 8 of them, or one does not exist.
    """
    if len(texts) not in (STATE_DIM, _WITH_QUATERNION):
        raise InvalidInputError(
            f'state needs {STATE_DIM} numbers (x y z, Euler angles, gripper) or '
            f'{_WITH_QUATERNION} (x y z, quaternion x y z w, gripper), got {len(texts)}.'
        )
    columns = []
    for text in texts:
        feature, _, place = str(text).rpartition(':')
        names = _names(features.get(feature, {}))
        count = int(np.prod(features.get(feature, {}).get('shape', [0])))
        if place in names:
            columns.append(StateColumn(feature, names.index(place)))
        elif place.isdecimal() and int(place) < count:
            columns.append(StateColumn(feature, int(place)))
        else:
            raise InvalidInputError(
                f'{text!r} is no number of a feature; write FEATURE:NAME or FEATURE:INDEX with a '
                f'feature of {", ".join(features)}.'
            )
    return columns


def assemble_state(
    numbers: npt.NDArray[np.float64],
    *,
    metre: float = 1.0,
    radian: float = 1.0,
    gripper_open: float = 0.0,
    gripper_closed: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Return states, shape (frames, 7).

    Args:
        numbers: What the columns hold, shape (frames, 7), or (frames, 8) with quaternions xyzw.
        metre: How many metres one unit of length is.
        radian: How many radians one unit of angle is.
        gripper_open: What stands for the open gripper.
        gripper_closed: What stands for the closed one.
    """
    if numbers.shape[1] == _WITH_QUATERNION:
        euler = quaternion_xyzw_to_euler(numbers[:, 3:7])
    else:
        euler = numbers[:, 3:6] * radian
    closedness = (numbers[:, -1:] - gripper_open) / (gripper_closed - gripper_open)
    return np.hstack([numbers[:, :3] * metre, euler, closedness]).astype(np.float32)


def _known(features: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return, for each feature with numbers, where in it the words are that matter."""
    return {
        name: {_word(text): index for index, text in reversed(list(enumerate(_names(item))))}
        for name, item in features.items()
        if _is_state(name, item)
    }


def _gripper(known: Mapping[str, Mapping[str, int]], preferred: str) -> StateColumn | None:
    for feature in (preferred, *known):
        for word in _GRIPPER:
            if word in known[feature]:
                return StateColumn(feature, known[feature][word])
    return None


def _is_state(name: str, feature: Mapping[str, Any]) -> bool:
    floats = feature.get('dtype') in ('float32', 'float64')
    return floats and name.startswith('observation') and len(feature.get('shape', ())) == 1


def _names(feature: Mapping[str, Any]) -> list[str]:
    """Return the names of a feature's numbers, which are a list or a mapping with one inside."""
    names = feature.get('names') or []
    if isinstance(names, Mapping):
        names = next((value for value in names.values() if isinstance(value, list)), [])
    return [str(name) for name in names]


def _word(name: str) -> str:
    return _AROUND.sub('', re.sub(r'[^a-z0-9]+', '_', name.lower()))
