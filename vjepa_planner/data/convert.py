# SPDX-License-Identifier: Apache-2.0
"""From recordings of any kind to a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vjepa_planner.data.dataset import is_dataset, open_dataset
from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.readers import Source, UnreadableRecordingError
from vjepa_planner.errors import InvalidInputError


@dataclass
class ConversionReport:
    """What has become of the recordings so far.

    Attributes:
        recordings: How many were looked at.
        present: How many of them were in the dataset before.
        episodes: How many episodes were added.
        frames: How many frames they have.
        split: How many recordings were cut into several episodes, because something is missing
            in between.
        skipped: Why recordings were left out.
    """

    recordings: int = 0
    present: int = 0
    episodes: int = 0
    frames: int = 0
    split: int = 0
    skipped: list[str] = field(default_factory=list)


def convert(source: Source, root: Path) -> Iterator[ConversionReport]:
    """Append the recordings of a source to a dataset; those that are there already stay out.

    So an interrupted conversion goes on where it stopped, and several sources can become one
    dataset. A recording that cannot be read is left out and reported.

    Args:
        source: What to convert.
        root: Directory of the dataset; made if it is not there.

    Yields:
        What has been done, after each recording.

    Raises:
        InvalidInputError: The dataset does not fit, or no recording can be read.
    """
    report = ConversionReport()
    known = _origins(root)
    with DatasetWriter(root) as writer:
        for index in range(len(source)):
            report.recordings += 1
            if source.origin(index) in known:
                report.present += 1
            else:
                _convert_one(source, index, writer, report)
            yield report
    if not report.episodes and not report.present:
        reasons = report.skipped or [f'{source.path} holds no recordings.']
        raise InvalidInputError(f'nothing could be converted: {reasons[0]}')


def _convert_one(
    source: Source, index: int, writer: DatasetWriter, report: ConversionReport
) -> None:
    try:
        episodes = source.read(index)
    except UnreadableRecordingError as error:
        report.skipped.append(str(error))
        return
    if not episodes:
        report.skipped.append(f'{source.name(index)}: nowhere two steps follow each other.')
        return
    writer.add(*episodes)
    report.episodes += len(episodes)
    report.frames += sum(len(episode) for episode in episodes)
    # A shard holds many episodes of the simulator; anything else is one, unless it has gaps.
    report.split += len(episodes) > 1 and episodes[0].seed is None


def _origins(root: Path) -> set[str]:
    if not is_dataset(root):
        return set()
    return {entry.facts.get('origin', '') for entry in open_dataset(root).episodes}
