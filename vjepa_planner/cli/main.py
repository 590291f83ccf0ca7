# SPDX-License-Identifier: Apache-2.0
"""Parses ``vjepa COMMAND ...`` and turns errors into one clear line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import logging
import os
import re
import sys
from typing import Any, NoReturn

from vjepa_planner.cli import (
    calibrate,
    collect,
    data,
    demo,
    doctor,
    encode,
    energy,
    evaluate,
    export,
    models,
    plan,
    train,
)
from vjepa_planner.errors import VjepaPlannerError

_COMMANDS = (
    demo,
    doctor,
    calibrate,
    encode,
    plan,
    energy,
    evaluate,
    models,
    export,
    collect,
    data,
    train,
)
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # as of a program that SIGPIPE ends
# OpenCV and its FFmpeg would print lines of their own beside ours about files they cannot read.
_SILENT_OPENCV = {'OPENCV_LOG_LEVEL': 'OFF', 'OPENCV_FFMPEG_LOGLEVEL': '-8'}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; those of the process if left out.

    Returns:
        The exit status: 0, 1 for an error of ours, 130 after Ctrl-C, 141 where nobody reads the
        output any more; argparse exits with 2.
    """
    for variable, silent in _SILENT_OPENCV.items():
        os.environ.setdefault(variable, silent)
    logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(name)s: %(message)s')
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        status = int(options.run(options))
        print(end='', flush=True)  # while an error in writing is still ours to report
        return status
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('vjepa_planner'):
            raise
        print(
            f'vjepa {options.command}: needs the Python package {error.name!r}, which is not '
            'installed.',
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        _drop_unwritten()
        return _BROKEN_PIPE
    except (VjepaPlannerError, OSError) as error:
        _drop_unwritten()
        print(f'vjepa {options.command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'\nvjepa {options.command}: interrupted', file=sys.stderr)
        return _INTERRUPTED


def _drop_unwritten() -> None:
    """Forget output that cannot be written: Python tries again at its end, and exits with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``vjepa`` with all its commands."""
    parser = _Parser(
        prog='vjepa',
        description='Robot actions from a goal image, planned with V-JEPA 2-AC.',
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for module in _COMMANDS:
        module.add_parser(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the whole usage; takes -1e-05 for a number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - those of the base
        super().__init__(*args, **kwargs)
        # What looks like a negative number to argparse is an option where it has an exponent.
        self._negative_number_matcher = re.compile(r'-\.?\d')

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: {message} ({self.prog} --help explains)\n')
