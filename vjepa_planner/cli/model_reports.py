# SPDX-License-Identifier: Apache-2.0
"""What ``vjepa models`` says about models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
import json
from pathlib import Path
from typing import Any

from vjepa_planner.catalog import CATALOG, CatalogEntry, format_bytes, RemoteFile
from vjepa_planner.errors import CheckpointError
from vjepa_planner.model_directory import read_model_config
from vjepa_planner.model_files import (
    available_models,
    download_folder,
    find_model_directory,
    UNTRAINED,
)

ROW = ('name', 'task', 'size', 'licence', 'here')

_PLAN = 'vjepa plan --model {model} --image NOW.png --goal GOAL.png --state X Y Z RX RY RZ G'
_ENCODE = 'vjepa encode --model {model} VIDEO_OR_IMAGES'


def list_models() -> list[dict[str, str]]:
    """Return one row per model, with the keys ``ROW``: our own first, then all published ones."""
    local = [name for name in available_models() if name not in CATALOG and name != UNTRAINED]
    rows = []
    for name in local:
        if (directory := find_model_directory(name)) is not None:
            rows.append(_local_row(directory))
    return rows + [_row(entry) for entry in CATALOG.values()]


def _row(entry: CatalogEntry) -> dict[str, str]:
    return {
        'name': entry.name,
        'task': entry.task,
        'size': entry.size_text,
        'licence': entry.licence,
        'here': _presence(entry),
    }


def _presence(entry: CatalogEntry) -> str:
    directory = find_model_directory(entry.name)
    if directory is not None and (directory / entry.checkpoint.name).is_file():
        return 'yes'
    part = download_folder() / entry.name / f'{entry.checkpoint.name}.part'
    if part.is_file():
        return f'part, {format_bytes(part.stat().st_size)}'
    return 'no'


def _local_row(directory: Path) -> dict[str, str]:
    try:
        config = read_model_config(directory)
    except CheckpointError:  # one broken directory must not hide the others
        return {**dict.fromkeys(ROW, '-'), 'name': directory.name, 'here': 'damaged config.json'}
    files = [path for path in directory.iterdir() if path.is_file()]
    return {
        'name': directory.name,
        'task': 'encode, plan' if 'ac_predictor' in config else 'encode',
        'size': format_bytes(sum(path.stat().st_size for path in files)),
        'licence': str(config.get('licence', '-')),
        'here': 'yes',
    }


def describe_local(directory: Path) -> tuple[str, dict[str, Any]]:
    """Return text and data about a model directory of this machine."""
    config = read_model_config(directory)
    row = _local_row(directory)
    card = directory / 'README.md'
    lines = [
        f'{row["name"]}: a model on this machine',
        f'  task        {row["task"]}',
        f'  size        {row["size"]}',
        f'  licence     {row["licence"]}',
        f'  path        {directory}',
        *([f'  model card  {card}'] if card.is_file() else []),
        *_settings_lines(config),
        'Next:',
        *(f'  {c}' for c in _use_commands(row['task'], row['name'])),
    ]
    return '\n'.join(lines), {**row, 'path': str(directory), 'config': config}


def describe_entry(entry: CatalogEntry) -> tuple[str, dict[str, Any]]:
    """Return text and data about a published model."""
    directory = find_model_directory(entry.name)
    lines = [
        f'{entry.name}: {entry.title}',
        f'  task         {entry.task}',
        f'  here         {_presence(entry)}{f", {directory}" if directory else ""}',
        f'  architecture {entry.architecture}',
        f'  parameters   encoder {entry.encoder_parameters:,}, '
        f'predictor {entry.predictor_parameters:,}',
        f'  images       {entry.image_size} px',
        *(f'  {line}' for line in licence_lines(entry)),
        f'  paper        https://arxiv.org/abs/{entry.paper}',
        f'  page         {entry.page}',
        f'  model card   models/{entry.card}',
        *_settings_lines(entry.settings),
        *(f'  needs        {name} as well' for name in entry.needs),
        'Files:',
        *(line for file in entry.files for line in _file_lines(file)),
        'Traps:',
        *(f'  - {trap}' for trap in entry.traps),
        'Next:',
        *(f'  {command}' for command in _commands(entry, directory)),
        *offline_lines(entry, download_folder()),
    ]
    path = None if directory is None else str(directory)
    plain = replace(entry, settings=dict(entry.settings))  # asdict cannot copy a proxy
    return '\n'.join(lines), {**asdict(plain), 'path': path}


def licence_lines(entry: CatalogEntry) -> list[str]:
    """Return what must be known before the weights are fetched."""
    lines = [f'licence      {entry.licence}: {entry.licence_note}']
    if entry.noncommercial:
        lines.append('             NON-COMMERCIAL USE ONLY')
    return lines


def offline_lines(entry: CatalogEntry, folder: Path) -> list[str]:
    """Return what to do where there is no network.

    Args:
        entry: The model that is wanted.
        folder: The folder of models that it should go to.
    """
    return [
        'Without a network here, fetch on another machine:',
        *(f'  {file.url}' for file in entry.files),
        'carry them over in a directory, and have them checked and put into '
        f'{folder / entry.name} with',
        f'  vjepa models download {entry.name} --from THAT_DIRECTORY'
        + ('' if folder == download_folder() else f' --to {folder}'),
    ]


def next_commands(entry: CatalogEntry, path: Path, by_name: bool) -> list[str]:
    """Return what to do with a downloaded model.

    Args:
        entry: The model.
        path: Where it is.
        by_name: Whether it lies where names are looked up.
    """
    model = entry.name if by_name else str(path)
    return ['Next:', *(f'  {c}' for c in _use_commands(entry.task, model))]


def _commands(entry: CatalogEntry, directory: Path | None) -> list[str]:
    if directory is None:
        return [f'vjepa models download {entry.name}']
    return [f'vjepa models verify {entry.name}', *_use_commands(entry.task, entry.name)]


def _use_commands(task: str, model: str) -> list[str]:
    commands = {'encode': _ENCODE, 'plan': _PLAN}
    return [command.format(model=model) for word, command in commands.items() if word in task]


def _settings_lines(settings: Mapping[str, Any]) -> list[str]:
    keys = ('crop', 'ee_frame', 'planner')
    return [f'  {key:<12} {json.dumps(settings[key])}' for key in keys if key in settings]


def _file_lines(file: RemoteFile) -> list[str]:
    size = file.size_text if file.size is None else f'{file.size:,} bytes'
    checksum = file.sha256 or 'not known'
    lines = [f'  {file.url}', f'    size    {size}', f'    sha256  {checksum}']
    return [*lines, f'    source  {file.source}'] if file.source else lines
