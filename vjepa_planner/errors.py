# SPDX-License-Identifier: Apache-2.0
"""The errors of the library: one base class, so that callers can catch all of ours at once.

Messages name what was wrong, what was received, what is allowed and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class VjepaPlannerError(Exception):
    """Base class of every error that this library raises on purpose."""


class InvalidInputError(VjepaPlannerError, ValueError):
    """An argument has the wrong shape, type, range or contains non-finite numbers."""


class CheckpointError(VjepaPlannerError):
    """A checkpoint or model directory cannot be read, or does not fit the network."""


class UnknownNameError(VjepaPlannerError, KeyError):
    """A registry (planners, backends, tasks, models) has no entry of the given name."""

    def __init__(self, kind: str, name: str, available: tuple[str, ...]) -> None:
        """Store the name that was asked for and what exists.

        Args:
            kind: What was looked up, for example ``'planner'``.
            name: The name that was asked for.
            available: The names that exist.
        """
        from difflib import get_close_matches

        close = get_close_matches(name, available, n=1)
        hint = f' Did you mean {close[0]!r}?' if close else ''
        self.message = f'unknown {kind} {name!r}.{hint} Available: {", ".join(available)}.'
        self.name = name
        self.available = available
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the message itself; ``KeyError`` would print its repr."""
        return self.message


class MissingDependencyError(VjepaPlannerError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


@contextmanager
def requires_extra(who: str, extra: str) -> Iterator[None]:
    """Turn a missing optional package into an error that names the extra that has it.

    Args:
        who: What needs it, the beginning of the sentence.
        extra: Of ``setup.py``.

    Raises:
        MissingDependencyError: Inside, a package other than ours could not be found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('vjepa_planner'):
            raise
        raise MissingDependencyError(
            f'{who} needs the package {error.name!r}, which is not installed. '
            f"Install it with: pip install 'vjepa_ros[{extra}]'."
        ) from error
