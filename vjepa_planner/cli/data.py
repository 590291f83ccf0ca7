# SPDX-License-Identifier: Apache-2.0
"""``vjepa data``: recordings to datasets, and what is in them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_planner.cli.options import add_json_option, parse_settings, write_json

if TYPE_CHECKING:
    from vjepa_planner.data.readers import Source

_SHOWN = 5  # recordings that were left out


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        'data',
        help='convert recordings to datasets, look what is in them',
        description='ROS 2 bags, LeRobot datasets, DROID and episodes of the simulator: make '
        'datasets for training of them, and look what is in them.',
    )
    parts = parser.add_subparsers(dest='part', required=True, metavar='convert|inspect|stats')
    _add_convert(parts)
    _add_inspect(parts)
    _add_stats(parts)


def _add_convert(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'convert',
        help='make a dataset of recordings',
        description='Append recordings to a dataset in the format of LeRobot v3.0. Recordings '
        'that are in it already are left alone, so the same command goes on after an '
        'interruption.',
    )
    _add_source(parser)
    parser.add_argument('--out', type=Path, required=True, help='directory of the dataset')
    _add_reading(parser)
    parser.add_argument(
        '--step',
        type=float,
        metavar='SECONDS',
        help='time from one frame to the next (default: that of a dataset; else 1 s, as V-JEPA '
        '2-AC was trained)',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        default=256,
        metavar='PIXELS',
        help='side of the square images (default: %(default)s)',
    )
    _add_crop(parser)
    add_json_option(parser)
    parser.set_defaults(run=run_convert)


def _add_inspect(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'inspect',
        help='what is in recordings, and what looks wrong',
        description='Read all recordings and show what is in them: how many, how long, ranges, '
        'and what looks wrong, such as jumps, frozen images, missing frames or wrong units.',
    )
    _add_source(parser)
    _add_reading(parser)
    parser.add_argument('--step', type=float, metavar='SECONDS', help='as for convert')
    add_json_option(parser)
    parser.set_defaults(run=run_inspect, image_size=None, crop='squash')


def _add_stats(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'stats',
        help='how much of the world a dataset shows',
        description='Show how long the steps are, where the arm was, and how often the gripper '
        'closed and opened.',
    )
    parser.add_argument('source', type=Path, metavar='DIR', help='directory of the dataset')
    _add_reading(parser)
    parser.add_argument('--step', type=float, metavar='SECONDS', help='as for convert')
    add_json_option(parser)
    parser.set_defaults(run=run_stats, image_size=None, crop='squash', kind='lerobot')


def _add_source(parser: argparse.ArgumentParser) -> None:
    from vjepa_planner.data.readers import available_readers

    parser.add_argument(
        'source', type=Path, metavar='SOURCE', help='file or directory of the recordings'
    )
    parser.add_argument(
        '--kind', choices=available_readers(), help='of the recordings (default: it is found out)'
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--camera',
        help='which camera: a topic of a bag, a camera of a dataset, left, right or wrist of '
        'DROID (default: the only one; DROID: left)',
    )
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a setting of this kind of recording, as JSON, such as --set '
        'pose_topic=\'"/arm/pose"\'; repeatable; docs/data.md has them, and an unknown NAME lists '
        'them',
    )


def _add_crop(parser: argparse.ArgumentParser) -> None:
    from vjepa_planner.preprocessing import CROPS

    parser.add_argument(
        '--crop',
        choices=CROPS,
        default='squash',
        help='what is kept of wide images: the centred part up to 1.35 times as wide as high, '
        'squashed, or the centre square; as the model that is trained (default: %(default)s)',
    )


def _open(options: argparse.Namespace) -> Source:
    from vjepa_planner.data.readers import open_source, ReadOptions

    wanted = ReadOptions(
        step_duration=options.step,
        camera=options.camera,
        image_size=options.image_size,
        crop=options.crop,
    )
    return open_source(options.source, wanted, options.kind, **parse_settings(options.set))


def run_convert(options: argparse.Namespace) -> int:
    """Run ``vjepa data convert``."""
    from tqdm import tqdm

    from vjepa_planner.data.convert import ConversionReport, convert

    source = _open(options)
    report = ConversionReport()
    progress = tqdm(convert(source, options.out), total=len(source), unit='rec', desc='convert')
    for report in progress:
        progress.set_postfix(episodes=report.episodes, frames=report.frames)
    print(
        f'{report.episodes} episodes with {report.frames} frames added to {options.out}; '
        f'{report.present} recordings were there, {len(report.skipped)} left out, '
        f'{report.split} cut at gaps'
    )
    for reason in report.skipped[:_SHOWN]:
        print(f'  left out: {reason}')
    if len(report.skipped) > _SHOWN:
        print(f'  and {len(report.skipped) - _SHOWN} more (--json has all)')
    print(f'Next: vjepa data inspect {options.out}')
    write_json(options.json, asdict(report))
    return 0


def run_inspect(options: argparse.Namespace) -> int:
    """Run ``vjepa data inspect``."""
    from tqdm import tqdm

    from vjepa_planner.data.inspection import inspect, Inspection
    from vjepa_planner.errors import InvalidInputError

    source = _open(options)
    report = Inspection()
    for report in tqdm(inspect(source), total=len(source), unit='rec', desc='inspect'):  # noqa: B007
        pass
    write_json(options.json, report.as_dict())
    if not report.state_min:
        reason = f': {report.findings[0].first}' if report.findings else '.'
        raise InvalidInputError(f'{options.source} has no episode that can be used{reason}')
    print('\n'.join(report.table()))
    for finding in report.findings:
        print(f'warning: {finding.count} {finding.what}; first: {finding.first}')
    if not report.findings:
        print('nothing looks wrong')
    return 0


def run_stats(options: argparse.Namespace) -> int:
    """Run ``vjepa data stats``."""
    from tqdm import tqdm

    from vjepa_planner.data.coverage import measure_coverage, read_states
    from vjepa_planner.data.readers.lerobot import LeRobotSource

    source = _open(options)
    assert isinstance(source, LeRobotSource)  # the kind says so
    states = list(tqdm(read_states(source), total=len(source), unit='ep', desc='stats'))
    coverage = measure_coverage(states, source.step_duration)
    print('\n'.join(coverage.table()))
    write_json(options.json, coverage.as_dict())
    return 0
