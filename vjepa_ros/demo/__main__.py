# SPDX-License-Identifier: Apache-2.0
"""``python -m vjepa_ros.demo``, which is what ``vjepa demo`` runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys

from vjepa_planner.cli.demo import add_options
from vjepa_planner.errors import VjepaPlannerError
from vjepa_ros.child_nodes.signals import Interrupted, raise_on_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Args:
        arguments: Without the program's name; those of the process if left out.

    Returns:
        0 if both goals were reached, 1 if not or if something went wrong, 128 plus the number of
        the signal if one ended it (130 for Ctrl-C).
    """
    parser = argparse.ArgumentParser(prog='vjepa demo')
    add_options(parser)
    options = parser.parse_args(arguments)
    raise_on_signals()
    try:
        failure = _demonstrate(options)
    except (VjepaPlannerError, OSError) as error:
        failure = str(error)
    except Interrupted as interruption:
        sys.stderr.write('\nvjepa demo: interrupted; all nodes have ended\n')
        return interruption.exit_code
    if failure:
        sys.stderr.write(f'vjepa demo: {failure}\n')
    return 1 if failure else 0


def _demonstrate(options: argparse.Namespace) -> str:
    """Run the demonstration and return what went wrong, in one line; empty if nothing did."""
    # Imported here: what needs ROS after the check for it, and all that takes long once signals
    # are taken care of.
    from vjepa_ros.child_nodes.requirements import check_requirements

    check_requirements('the demonstration', options.backend, pictures=True)
    from vjepa_ros.demo.config import DemoConfig
    from vjepa_ros.demo.demonstration import demonstrate

    return demonstrate(DemoConfig(**vars(options)))


if __name__ == '__main__':
    sys.exit(main())
