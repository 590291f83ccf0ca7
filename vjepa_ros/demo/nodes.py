# SPDX-License-Identifier: Apache-2.0
"""Which nodes the demonstration starts, and with which parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from vjepa_ros.demo.config import DemoConfig
from vjepa_ros.demo.processes import NodeProcesses


class _Executable(NamedTuple):
    """A process: the module of its ``main``, and the threads of its numerical libraries."""

    module: str
    threads: int | None = 1


NODES = ('simulator', 'encoder', 'goal', 'planner', 'commander')

PLAN_MAX_AGE = 60.0
"""Plans whose image is older are refused by the commander [s]."""

_EXECUTABLES = {
    'simulator': _Executable('vjepa_ros.simulator_node'),
    'encoder': _Executable('vjepa_ros.encoder_node'),
    'planner': _Executable('vjepa_ros.planner_node', threads=None),
    'goal': _Executable('vjepa_ros.goal_node'),
    'commander': _Executable('vjepa_ros.commander_node'),
}


def start_nodes(processes: NodeProcesses, config: DemoConfig, parameter_file: Path) -> None:
    """Start all nodes.

    Args:
        processes: That they become part of.
        config: What the user chose.
        parameter_file: Where to write their parameters, for them and for the user to read.
    """
    content = {
        f'/**/{node}': {'ros__parameters': values}
        for node, values in make_parameters(config).items()
    }
    parameter_file.write_text(json.dumps(content, indent=1) + '\n')  # JSON is YAML, too
    arguments = ['--ros-args', '--params-file', str(parameter_file)]
    for name, executable in _EXECUTABLES.items():
        processes.start(name, executable.module, arguments, executable.threads)


def make_parameters(config: DemoConfig) -> dict[str, dict[str, object]]:
    """Return the parameters of each node that are not the defaults.

    Ages and time-outs are those for an arm that nobody stands next to, on a computer that may be
    slow or busy.
    """
    model = {name: getattr(config, name) for name in ('model', 'backend', 'device', 'precision')}
    return {
        'simulator': {'seed': config.seed},
        'encoder': model | {'max_rate': 5.0, 'image_max_age': 10.0, 'encode_timeout': 120.0},
        'goal': {'encode_timeout': 120.0},
        'planner': model
        | {
            'planner.seed': config.seed,
            'image_max_age': 10.0,
            'state_max_age': 5.0,
            'answer_timeout': 20.0,
        },
        'commander': {
            'autostart': True,
            'plan_max_age': PLAN_MAX_AGE,
            'state_max_age': 3.0,
            'settle_timeout': 20.0,
            'max_tracking_error': 0.2,
        },
    }
