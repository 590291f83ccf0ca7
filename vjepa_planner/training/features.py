# SPDX-License-Identifier: Apache-2.0
"""Embeddings of all frames by a frozen encoder: computed once, kept as float16.

In memory where they fit a bound, otherwise in a file of the run's directory, from which windows
are read as they are drawn. That file is found again when an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import Encoder
from vjepa_planner.training.loop import Progress
from vjepa_planner.training.probe import embed_in_batches
from vjepa_planner.training.processes import Processes

_ROWS_PER_BATCH = 16


@dataclass
class Features:
    """Embeddings of episodes.

    Attributes:
        array: float16, shape (copies, episodes, frames, N, D); the first copy has the colours of
            the images, the others random ones. Empty until they are computed.
    """

    array: npt.NDArray[np.float16]

    def windows(
        self, copy: int, rows: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]
    ) -> Tensor:
        """Return embeddings (B, T, N, D) of frames (B, T) of episodes (B,), as float32."""
        return torch.from_numpy(self.array[copy][rows[:, None], frames]).float()


def computed_features(
    episodes: Episodes,
    encoder: Encoder,
    directory: Path,
    *,
    color_copies: int,
    seed: int,
    memory_bound: float,
    processes: Processes,
) -> Generator[Progress, None, Features]:
    """Encode all frames, or find that it was done.

    Args:
        episodes: What to encode.
        encoder: Frozen.
        directory: Where the file would be.
        color_copies: Times that every frame is encoded once more with random colours.
        seed: Of those colours.
        memory_bound: What may be kept in memory [GiB]; several processes share a file in any case.
        processes: Those that train together; each encodes a part.

    Yields:
        0, and a line about how far it is.

    Returns:
        The features.
    """
    shape = _shape(episodes, encoder, 1 + color_copies)
    size = 2 * float(np.prod(shape)) / 2**30
    path = directory / 'features.f16'
    if size <= memory_bound and processes.count == 1:
        array = np.empty(shape, np.float16)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        made_of = _fingerprint(episodes, encoder, shape, seed)
        if _made_of(path) == made_of:
            return Features(np.memmap(path, np.float16, 'r', shape=shape))
        array = _new_file(path, shape, processes)
    yield from _encode(episodes, encoder, array, seed, processes)
    if isinstance(array, np.memmap):
        array.flush()
        processes.wait()
        if processes.is_main:
            path.with_suffix('.json').write_text(json.dumps(made_of))
    return Features(array)


def _encode(
    episodes: Episodes,
    encoder: Encoder,
    array: npt.NDArray[np.float16],
    seed: int,
    processes: Processes,
) -> Iterator[Progress]:
    generator = torch.Generator().manual_seed(seed)
    starts = range(0, len(episodes), _ROWS_PER_BATCH)
    share = (processes.rank, processes.count)
    for copy, target in enumerate(array):
        batches = embed_in_batches(
            encoder, episodes, generator if copy else None, _ROWS_PER_BATCH, share
        )
        for start, tokens in zip(starts[share[0] :: share[1]], batches, strict=True):
            target[start : start + len(tokens)] = tokens.numpy()
            done = start + len(tokens)
            yield 0, f'encoding {done}/{len(episodes)} episodes, pass {copy + 1}'


def _shape(episodes: Episodes, encoder: Encoder, copies: int) -> tuple[int, ...]:
    rows, columns = (side // encoder.config.patch_size for side in episodes.images.shape[2:4])
    return copies, *episodes.images.shape[:2], rows * columns, encoder.config.embed_dim


def _new_file(
    path: Path, shape: tuple[int, ...], processes: Processes
) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
    """Return a file that all processes write to."""
    if processes.is_main:
        path.with_suffix('.json').unlink(missing_ok=True)
        np.memmap(path, np.float16, 'w+', shape=shape).flush()
    processes.wait()
    return np.memmap(path, np.float16, 'r+', shape=shape)


def _made_of(path: Path) -> object:
    """Return what a complete file was made of, None if there is none."""
    description = path.with_suffix('.json')
    if not path.exists() or not description.exists():
        return None
    return json.loads(description.read_text())


def _fingerprint(
    episodes: Episodes, encoder: Encoder, shape: tuple[int, ...], seed: int
) -> dict[str, object]:
    weights = hashlib.sha256()
    for tensor in encoder.state_dict().values():
        weights.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    states = hashlib.sha256(episodes.states.tobytes())
    states.update(episodes.images[:, 0].tobytes())
    return {
        'shape': list(shape),
        'seed': seed,
        'encoder': weights.hexdigest(),
        'episodes': states.hexdigest(),
    }
