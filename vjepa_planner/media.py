# SPDX-License-Identifier: Apache-2.0
"""Images out of files: pictures, folders of pictures, and videos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
import re

import cv2
import numpy as np

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Image

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""What is read as a picture; any other file is taken for a video."""
_JPEG_BEGIN, _JPEG_END = b'\xff\xd8', b'\xff\xd9'


def read_image(path: Path) -> Image:
    """Return an image file as uint8 RGB, shape (height, width, 3).

    Raises:
        InvalidInputError: There is no such file, or it is not an image.
    """
    if not path.is_file():
        raise InvalidInputError(f'no image file at {path}.')
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV takes
        image = None
    if image is None:
        raise InvalidInputError(f'{path} cannot be read as an image; PNG and JPEG work.')
    return _rgb(image)


def decode_image(data: bytes) -> Image:
    """Return a JPEG or PNG image as uint8 RGB, shape (height, width, 3).

    Raises:
        InvalidInputError: It is something else, or damaged: a JPEG that breaks off would be read
            with grey where the rest belongs. A JPEG with wrong bytes in its middle is not noticed:
            it is decoded to a wrong picture.
    """
    whole = not data.startswith(_JPEG_BEGIN) or data.rstrip(b'\0').endswith(_JPEG_END)
    image = None
    if data and whole:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # more pixels than OpenCV takes
            image = None
    if image is None:
        fault = 'is damaged, or neither JPEG nor PNG' if whole else 'breaks off'
        raise InvalidInputError(f'the compressed image of {len(data)} bytes {fault}.')
    return _rgb(image)


class FootageEndError(InvalidInputError):
    """Footage is shorter than what was asked of it.

    Attributes:
        count: How many images it has.
    """

    def __init__(self, name: str, count: int, index: int) -> None:
        """Say which image is missing."""
        frames = 'frame' if count == 1 else 'frames'
        super().__init__(
            f'{name} has {count} {frames}; there is no frame {index}, counted from 0.'
        )
        self.count = count


class Footage(ABC):
    """Images in their order in time.

    Attributes:
        name: What errors call it.
        count: How many images there are; None where only reading them all would tell.
        rate: Images per second, None if unknown.
    """

    name: str
    count: int | None = None
    rate: float | None = None

    @abstractmethod
    def take(self, indices: Sequence[int]) -> Iterator[Image]:
        """Yield chosen images, reading one at a time.

        Args:
            indices: Ascending, counted from 0.

        Yields:
            RGB, uint8, shape (height, width, 3).

        Raises:
            FootageEndError: There are fewer images.
            InvalidInputError: One cannot be read.
        """


class ImageFiles(Footage):
    """Pictures in the order given."""

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        """Remember the files; they are read when asked for."""
        self.name = name
        self.count = len(paths)
        self._paths = tuple(paths)

    def take(self, indices: Sequence[int]) -> Iterator[Image]:
        """Yield chosen images; see :class:`Footage`."""
        for index in indices:
            if index >= len(self._paths):
                raise FootageEndError(self.name, len(self._paths), index)
            yield read_image(self._paths[index])


class VideoFile(Footage):
    """A video, decoded by OpenCV."""

    def __init__(self, path: Path) -> None:
        """Open the file to see whether it is a video.

        Raises:
            InvalidInputError: It is not, or this OpenCV cannot decode it.
        """
        self.name = str(path)
        self._path = path
        with self._opened() as capture:
            rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if np.isfinite(rate) and rate > 0 else None

    def take(self, indices: Sequence[int]) -> Iterator[Image]:
        """Yield chosen images; see :class:`Footage`."""
        # Seeking is inexact in many formats: the images between are passed over one by one.
        with self._opened() as capture:
            position = 0
            for index in indices:
                while position <= index:
                    if not capture.grab():
                        raise FootageEndError(self.name, position, index)
                    position += 1
                decoded, image = capture.retrieve()
                if not decoded or image is None:
                    raise InvalidInputError(f'{self.name}: frame {index} cannot be decoded.')
                yield _rgb(image)

    @contextmanager
    def _opened(self) -> Iterator[cv2.VideoCapture]:
        capture = cv2.VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise InvalidInputError(
                    f'{self.name} cannot be opened as a video: it is empty, damaged, no video, or '
                    'needs a codec that this OpenCV lacks. Convert it with `ffmpeg -i IN -c:v '
                    f'mpeg4 OUT.mp4`; pictures end in {", ".join(IMAGE_SUFFIXES)}.'
                )
            yield capture
        finally:
            capture.release()


def open_footage(paths: Sequence[Path]) -> Footage:
    """Return what reads one video, one directory of pictures, or picture files.

    Args:
        paths: Pictures are taken in this order, those of a directory sorted by name, where
            ``frame_10`` comes after ``frame_9``.

    Raises:
        InvalidInputError: A path does not exist, a directory has no pictures, the video cannot
            be opened, or several paths are not all pictures.
    """
    if missing := [path for path in paths if not path.exists()]:
        raise InvalidInputError(f'no file or directory at {missing[0]}.')
    if len(paths) == 1 and paths[0].is_dir():
        files = [path for path in paths[0].iterdir() if _is_picture(path)]
        if not files:
            raise InvalidInputError(
                f'no pictures ({", ".join(IMAGE_SUFFIXES)}) in the directory {paths[0]}.'
            )
        return ImageFiles(sorted(files, key=_number_order), str(paths[0]))
    if len(paths) == 1 and not _is_picture(paths[0]):
        return VideoFile(paths[0])
    if others := [path for path in paths if not _is_picture(path)]:
        raise InvalidInputError(
            f'{others[0]} is not a picture ({", ".join(IMAGE_SUFFIXES)}). Give one video, one '
            'directory of pictures, or picture files.'
        )
    names = f'{paths[0]} and {len(paths) - 1} more' if len(paths) > 1 else str(paths[0])
    return ImageFiles(paths, names)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _number_order(path: Path) -> list[tuple[int, str]]:
    """Return a sort key under which 10 comes after 9."""
    parts = re.findall(r'\d+|\D+', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]


def _rgb(image: cv2.typing.MatLike) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
