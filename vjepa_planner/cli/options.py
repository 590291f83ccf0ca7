# SPDX-License-Identifier: Apache-2.0
"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.model_files import DEFAULT_MODEL

if TYPE_CHECKING:
    from vjepa_planner.planners import Planner
    from vjepa_planner.world_model import WorldModel


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``."""
    parser.add_argument(
        '--model',
        default=DEFAULT_MODEL,
        help='name of a model, model directory or .pt file; "untrained" has random weights '
        '(default: %(default)s)',
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model`` and what it runs on; :func:`load_chosen_model` reads them."""
    from vjepa_planner.backends import available_backends

    add_model_option(parser)
    parser.add_argument(
        '--backend',
        choices=available_backends(),
        default='torch',
        help='what computes (default: %(default)s)',
    )
    add_precision_options(parser)


def add_precision_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--precision``."""
    from vjepa_planner.backends import PRECISIONS

    parser.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:1, ... (default: %(default)s)'
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='float32',
        help='number format of the products of matrices (default: %(default)s)',
    )


def add_crop_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--crop``, for :func:`load_chosen_model`."""
    from vjepa_planner.preprocessing import CROPS

    parser.add_argument(
        '--crop',
        choices=CROPS,
        help='what the model sees of an image: its centre square, or the centred part that V-JEPA '
        '2-AC was trained on, up to 1.35 times as wide as high and squashed to a square '
        '(default: what the model was trained on)',
    )


def load_chosen_model(options: argparse.Namespace, crop: str | None = None) -> WorldModel:
    """Return the world model that the options of :func:`add_model_options` name.

    Args:
        options: Parsed.
        crop: Of camera images; None takes the model's own.
    """
    from vjepa_planner.cli.waiting import waiting
    from vjepa_planner.world_model import load_world_model

    with waiting(f'loading {options.model}'):
        return load_world_model(
            options.model,
            backend=options.backend,
            device=options.device,
            precision=options.precision,
            crop=crop,
        )


def add_planner_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--planner`` and ``--set``; :func:`make_chosen_planner` reads them."""
    from vjepa_planner.planners import available_planners

    parser.add_argument(
        '--planner',
        choices=available_planners(),
        help='planner (default: what the model recommends)',
    )
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a setting of the planner, as JSON, for example --set num_samples=256; repeatable',
    )


def make_chosen_planner(options: argparse.Namespace, world_model: WorldModel) -> Planner:
    """Return the planner that the options of :func:`add_planner_options` name."""
    from vjepa_planner.planners import make_recommended_planner

    return make_recommended_planner(
        world_model.config.planner, options.planner, **parse_settings(options.set)
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        '--json', type=_output_file, metavar='FILE', help='write the results here too'
    )


def _output_file(text: str) -> Path:
    """Return the path, refused before the work where it would be after it."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a directory, not a file')
    return path


def parse_settings(assignments: list[str]) -> dict[str, object]:
    """Return the settings given with ``--set``.

    Raises:
        InvalidInputError: One is not of the form NAME=VALUE with a JSON value.
    """
    settings: dict[str, object] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition('=')
        try:
            settings[name] = json.loads(text)
        except json.JSONDecodeError as error:
            separator = ''
            reason = f' ({error})'
        else:
            reason = ''
        if not separator or not name:
            raise InvalidInputError(
                f'--set needs NAME=VALUE with a number or JSON value, got {assignment!r}{reason}.'
            )
    return settings


def write_json(path: Path | None, content: dict[str, object]) -> None:
    """Write ``content`` where ``--json`` said, if it was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + '\n')
