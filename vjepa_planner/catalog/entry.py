# SPDX-License-Identifier: Apache-2.0
"""What is known about a model that others publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.model_directory import CONFIG_FILE

_BYTES_PER_PARAMETER = 4  # all of them are float32


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Attributes:
        name: On disk.
        url: Where it is published.
        size: Bytes, exactly; None where nobody has said.
        estimated_size: Bytes, from the number of parameters, where ``size`` is None.
        sha256: Lower-case hexadecimal; None where no value is known.
        source: Where size and checksum come from.
    """

    name: str
    url: str
    size: int | None = None
    estimated_size: int | None = None
    sha256: str | None = None
    source: str = ''

    @property
    def size_text(self) -> str:
        """The size for people; ``~`` marks an estimate."""
        if self.size is not None:
            return format_bytes(self.size)
        if self.estimated_size is not None:
            return f'~{format_bytes(self.estimated_size)}'
        return 'not known'


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A published model.

    Attributes:
        name: Ours, also that of its directory.
        title: Whose model it is, in one line.
        task: What it can do here: ``'encode'``, ``'plan'`` or both.
        architecture: In one line.
        encoder_parameters: Number of them, 0 if the encoder is elsewhere.
        predictor_parameters: Number of them, of whichever predictor the file holds.
        image_size: Side of the images that it was trained on [px].
        licence: SPDX identifier of the licence of the weights, and in brackets a reservation.
        licence_note: Where that is said, and what follows.
        paper: arXiv identifier.
        page: Of the publisher.
        card: Its model card, below ``models/``.
        files: The checkpoint first.
        settings: ``crop``, ``ee_frame`` and ``planner`` of its ``config.json``, see
            ``WorldModelConfig``; empty for models that cannot plan.
        traps: What goes wrong for those who do not know.
        needs: Names of other entries without which it does not work.
    """

    name: str
    title: str
    task: str
    architecture: str
    encoder_parameters: int
    predictor_parameters: int
    image_size: int
    licence: str
    licence_note: str
    paper: str
    page: str
    card: str
    files: tuple[RemoteFile, ...]
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    traps: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> RemoteFile:
        """The file with the weights."""
        return self.files[0]

    @property
    def is_directory(self) -> bool:
        """Whether a loader takes the directory (Hugging Face) rather than the checkpoint in it."""
        return any(file.name == CONFIG_FILE for file in self.files)

    @property
    def size_text(self) -> str:
        """Size of the checkpoint for people; the files beside it are small."""
        return self.checkpoint.size_text

    @property
    def noncommercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return '-NC-' in self.licence

    def config(self) -> dict[str, Any]:
        """Return the contents of the ``config.json`` that goes beside an official checkpoint."""
        size = self.image_size
        return {'name': self.name, 'img_size': size, 'image_size': size, **self.settings}

    def from_mirror(self, place: str) -> CatalogEntry:
        """Return the entry with its files at another place.

        Args:
            place: Directory, or URL of one, that holds files of the same names.

        Raises:
            InvalidInputError: It is a directory that lacks one of them.
        """
        if place.startswith(('http://', 'https://')):
            base = place.rstrip('/')
        else:
            folder = Path(place).expanduser().resolve()
            missing = [file.name for file in self.files if not (folder / file.name).is_file()]
            if missing:
                raise InvalidInputError(
                    f'{place} lacks {", ".join(missing)}; {self.name} consists of '
                    f'{", ".join(file.name for file in self.files)}.'
                )
            base = folder.as_uri()
        files = tuple(replace(file, url=f'{base}/{file.name}') for file in self.files)
        return replace(self, files=files)


def training_file_size(encoder: int, predictor: int) -> int:
    """Return the bytes of a checkpoint of the official pre-training.

    It holds encoder, moving average of the encoder, predictor, and Adam's two moments of encoder
    and predictor. The four such files whose size is known are at most 0.03 % larger.

    Args:
        encoder: Number of parameters.
        predictor: Number of parameters.
    """
    return _BYTES_PER_PARAMETER * (4 * encoder + 3 * predictor)


def weights_size(parameters: int) -> int:
    """Return the bytes of a file that holds weights only."""
    return _BYTES_PER_PARAMETER * parameters


def format_bytes(count: float) -> str:
    """Return a number of bytes for people, in decimal units as disks are sold."""
    for unit in ('B', 'kB', 'MB'):
        if count < 1000:
            return f'{count:.3g} {unit}'
        count /= 1000
    return f'{count:.2f} GB'
