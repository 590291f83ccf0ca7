# SPDX-License-Identifier: Apache-2.0
"""Which nodes a command starts, and with which parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from vjepa_ros.child_nodes.processes import NodeProcesses

Parameters = dict[str, dict[str, object]]
"""By node and name."""


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


def start_nodes(processes: NodeProcesses, parameters: Parameters, file: Path) -> None:
    """Start all nodes.

    Args:
        processes: That they become part of.
        parameters: Those that are not the defaults.
        file: Where to write the parameters, for the nodes and for the user to read.
    """
    content = {
        f'/**/{node}': {'ros__parameters': values} for node, values in parameters.items() if values
    }
    file.write_text(json.dumps(content, indent=1) + '\n')  # JSON is YAML, too
    arguments = ['--ros-args', '--params-file', str(file)]
    for name, executable in _EXECUTABLES.items():
        processes.start(name, executable.module, arguments, executable.threads)


def patient_parameters(model: str, backend: str, device: str, precision: str) -> Parameters:
    """Return parameters for a simulated arm.

    Ages and time-outs are those for an arm that nobody stands next to, on a computer that may be
    slow or busy.

    Args:
        model: Name or path of the world model.
        backend: What computes.
        device: Where it computes.
        precision: Number format of the networks.
    """
    networks: dict[str, object] = {
        'model': model,
        'backend': backend,
        'device': device,
        'precision': precision,
    }
    return {
        'simulator': {},
        'encoder': networks | {'max_rate': 5.0, 'image_max_age': 10.0, 'encode_timeout': 120.0},
        'goal': {'encode_timeout': 120.0},
        'planner': networks
        | {'image_max_age': 10.0, 'state_max_age': 5.0, 'answer_timeout': 20.0},
        'commander': {
            'plan_max_age': PLAN_MAX_AGE,
            'state_max_age': 3.0,
            'settle_timeout': 20.0,
            'max_tracking_error': 0.2,
        },
    }
