# SPDX-License-Identifier: Apache-2.0
"""``vjepa models``: what there is, where it comes from, how to get it, whether it is whole."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_planner.cli.options import add_json_option, write_json

if TYPE_CHECKING:
    from vjepa_planner.integrity import Report

_NAME = 'of "vjepa models list"'


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        'models',
        help='list, describe, download and verify models',
        description='The published V-JEPA 2 models and those on this machine.',
    )
    parts = parser.add_subparsers(dest='part', required=True, metavar='list|show|download|verify')
    _add_list(parts)
    _add_show(parts)
    _add_download(parts)
    _add_verify(parts)


def _add_list(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'list',
        help='all models: what for, size, licence, whether they are here',
        description='List the models on this machine and all published ones. ~ marks sizes that '
        'are estimates.',
    )
    add_json_option(parser)
    parser.set_defaults(run=run_list)


def _add_show(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'show',
        help='everything about one model, and the next commands',
        description='Describe a model: architecture, licence, files and checksums, settings, '
        'known traps, and how to get it with and without a network.',
    )
    parser.add_argument('name', help=_NAME)
    add_json_option(parser)
    parser.set_defaults(run=run_show)


def _add_download(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'download',
        help='download a model, or the rest of it',
        description='Download a published model and check it. What was received before an '
        'interruption is kept: the same command goes on. Proxies are taken from https_proxy and '
        'no_proxy.',
    )
    parser.add_argument('name', help=_NAME)
    parser.add_argument(
        '--to',
        type=Path,
        metavar='DIR',
        help='folder of models; the files go into DIR/NAME (default: $VJEPA_MODELS, or '
        'vjepa_ros/models in the cache)',
    )
    parser.add_argument(
        '--from',
        dest='source',
        metavar='PLACE',
        help='directory or URL that holds files of the same names, such as a USB stick that was '
        'filled on another machine',
    )
    add_json_option(parser)
    parser.set_defaults(run=run_download)


def _add_verify(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        'verify',
        help='check size, SHA-256 and structure of a model file',
        description='Check the files of a model without executing anything in them. Where no '
        'checksum is known, the computed one is printed.',
    )
    parser.add_argument('model', help='name, model directory or file')
    add_json_option(parser)
    parser.set_defaults(run=run_verify)


def run_list(options: argparse.Namespace) -> int:
    """Run ``vjepa models list``."""
    from vjepa_planner.cli.model_reports import list_models, ROW

    models = list_models()
    rows = [{key: key.upper() for key in ROW}, *models]
    widths = {key: max(len(row[key]) for row in rows) for key in ROW}
    for row in rows:
        print('  '.join(row[key].ljust(width) for key, width in widths.items()).rstrip())
    print('\n"vjepa models show NAME" describes one, "vjepa models download NAME" gets it.')
    write_json(options.json, {'models': models})
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Run ``vjepa models show``."""
    from vjepa_planner.catalog import CATALOG
    from vjepa_planner.cli.model_reports import describe_entry, describe_local, list_models
    from vjepa_planner.errors import UnknownNameError
    from vjepa_planner.model_files import find_model_directory

    name = options.name
    if name in CATALOG:
        text, content = describe_entry(CATALOG[name])
    elif (directory := find_model_directory(name)) is not None:
        text, content = describe_local(directory)
    else:
        raise UnknownNameError('model', name, tuple(row['name'] for row in list_models()))
    print(text)
    write_json(options.json, content)
    return 0


def run_download(options: argparse.Namespace) -> int:
    """Run ``vjepa models download``."""
    from vjepa_planner.catalog import find_entry
    from vjepa_planner.cli.model_reports import licence_lines, next_commands, offline_lines
    from vjepa_planner.downloads import download_model, UnreachableError
    from vjepa_planner.model_files import download_folder

    entry = find_entry(options.name)
    folder = options.to or download_folder()
    wanted = entry if options.source is None else entry.from_mirror(options.source)
    print('\n'.join([f'{entry.name}: {entry.title}', *licence_lines(entry)]))
    print(f'to {folder / entry.name}, {entry.size_text}', flush=True)
    try:
        with _progress('download') as report:
            path, downloaded = download_model(wanted, folder, report)
    except UnreachableError:
        print('\n'.join(['', *offline_lines(entry, folder)]), flush=True)
        raise
    except KeyboardInterrupt:
        print('What was received is kept; the same command goes on from there.', flush=True)
        raise
    print(f'{"downloaded" if downloaded else "already here"}: {path}')
    print('\n'.join(next_commands(entry, path, by_name=options.to is None)))
    write_json(options.json, {'name': entry.name, 'path': str(path), 'downloaded': downloaded})
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Run ``vjepa models verify``."""
    from vjepa_planner.integrity import check_file, files_of
    from vjepa_planner.model_files import find_model

    checks = []
    for path, file in files_of(find_model(options.model)):
        with _progress(path.name) as report:
            checks += check_file(path, file, report)
    for check in checks:
        word = {True: 'ok', False: 'WRONG', None: 'unknown'}[check.passed]
        print(f'{check.file}  {check.what:<9}  {word:<7}  {check.detail}')
    failed = any(check.passed is False for check in checks)
    write_json(options.json, {'passed': not failed, 'checks': [asdict(c) for c in checks]})
    print('WRONG: do not use it; delete it and download it again' if failed else 'nothing wrong')
    return int(failed)


@contextmanager
def _progress(label: str) -> Iterator[Report]:
    """Give a function that shows bytes in a bar; a count that falls back starts another one."""
    from tqdm import tqdm

    # Nothing is shown of what takes less than a second.
    bar = tqdm(desc=label, unit='B', unit_scale=True, mininterval=0.5, leave=False, delay=1)

    def report(done: int, total: int | None) -> None:
        if done < bar.n:
            bar.reset(total)
            bar.set_description_str('check')
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield report
