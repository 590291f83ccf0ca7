# SPDX-License-Identifier: Apache-2.0
"""``vjepa demo``: hands over to the demonstration of the ROS package, which this library must not
import.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from vjepa_planner.cli.options import add_model_option


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'demo',
        help='a simulated Franka reaches the poses in two goal images, over real ROS 2 nodes',
        description='Start the ROS 2 nodes and the simulator, reach the pose in a goal image, '
        'swap the goal through the ROS service, reach the second one. Leaves a video and an '
        'energy plot.',
    )
    parser.add_argument('--seed', type=int, default=3, help='of the scene (default: %(default)s)')
    parser.add_argument(
        '--out', default='out/demo', help='directory for video and plot (default: %(default)s)'
    )
    add_model_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    command = [sys.executable, '-m', 'vjepa_ros.demo']
    command += ['--seed', str(options.seed), '--out', options.out, '--model', options.model]
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # Ctrl-C reached the demo too; it ends its nodes.
