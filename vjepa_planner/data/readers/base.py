# SPDX-License-Identifier: Apache-2.0
"""What every reader of recordings is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
import hashlib
from pathlib import Path
from typing import Any

from vjepa_planner.data.episode import Episode
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import check_crop


class UnreadableRecordingError(InvalidInputError):
    """One recording of a source cannot be used; the others may be fine."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What is wanted of any source.

    Attributes:
        step_duration: Time from one frame to the next [s]; None takes the source's own.
        camera: Which camera; None takes the only one.
        image_size: Side of the square images [px]; None leaves them as they are.
        crop: What is cut out of an image first, one of ``preprocessing.CROPS``.
    """

    step_duration: float | None = None
    camera: str | None = None
    image_size: int | None = None
    crop: str = 'squash'

    def __post_init__(self) -> None:
        """Check the values."""
        check_crop(self.crop)
        if self.image_size is not None and self.image_size < 16:
            raise InvalidInputError(f'image_size must be at least 16 px, got {self.image_size}.')
        if self.step_duration is not None and not 0 < self.step_duration <= 3600:
            raise InvalidInputError(
                f'the step must last between 0 and 3600 s, got {self.step_duration:g}.'
            )


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Settings of one kind of source; each field has a ``description`` in its metadata."""

    def __post_init__(self) -> None:
        """Check the types: settings come from the command line.

        Raises:
            InvalidInputError: One is of another type than its default.
        """
        for item in fields(self):
            value, default = getattr(self, item.name), item.default
            kinds = (int, float) if isinstance(default, float) else (type(default),)
            texts = not isinstance(value, tuple) or all(isinstance(v, str) for v in value)
            if not isinstance(value, kinds) or isinstance(value, bool) or not texts:
                raise InvalidInputError(
                    f'{item.name} must be like {default!r} ({item.metadata["description"]}), got '
                    f'{value!r}.'
                )


def described(default: Any, description: str) -> Any:  # noqa: ANN401 - like dataclasses.field
    """Return a field of a :class:`SourceConfig`.

    Args:
        default: Its default.
        description: One line, with the unit in brackets.
    """
    return field(default=default, metadata={'description': description})


class Source(ABC):
    """Recordings in one place.

    Attributes:
        path: Where they are.
        options: What is wanted of them.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        """Look what is there; images are read later.

        Raises:
            InvalidInputError: What is there cannot be used.
        """
        self.path = path
        self.options = options

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of recordings."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return how a person would name a recording of this source."""

    def origin(self, index: int) -> str:
        """Return what tells a recording from all others, also of another source.

        Names are often the same in two places, so a digest of the place belongs to it.
        """
        place = hashlib.blake2b(str(self.path.resolve()).encode(), digest_size=4).hexdigest()
        return f'{self.name(index)} #{place}'

    @abstractmethod
    def read(self, index: int) -> Sequence[Episode]:
        """Return the episodes of one recording: one, or the parts between its gaps.

        Raises:
            UnreadableRecordingError: It cannot be used.
        """


def choose_camera(cameras: Sequence[str], wanted: str | None, where: object) -> str:
    """Return the camera that is meant.

    Raises:
        InvalidInputError: There is no such camera, or several and none was named.
    """
    names = ', '.join(cameras) or 'none'
    if wanted is None and len(cameras) == 1:
        return cameras[0]
    if wanted is None:
        raise InvalidInputError(
            f'{where} has the cameras {names}. Choose one with --camera.'
            if cameras
            else f'{where} has no camera.'
        )
    if wanted not in cameras:
        raise InvalidInputError(f'{where} has no camera {wanted!r}; it has {names}.')
    return wanted
