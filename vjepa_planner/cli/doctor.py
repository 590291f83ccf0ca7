# SPDX-License-Identifier: Apache-2.0
"""``vjepa doctor``: what is wrong with this machine, the model, or the graph that runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vjepa_planner.cli.options import add_json_option, add_model_options, write_json

if TYPE_CHECKING:
    from vjepa_planner.health import Finding

_DOCTOR = 'vjepa_ros.doctor'
PARTS = ('model', 'ros', 'graph')


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'doctor',
        help='check model, ROS, and the nodes, camera and robot that run',
        description='Look at the model, at the set-up of ROS 2, and at the nodes, camera, robot '
        'and controller that run at the moment. Nothing moves. Each line says what was found; '
        'what is not good says what is expected and what to do. The exit code is 1 if anything '
        'fails.',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        choices=PARTS,
        default=list(PARTS),
        help='parts to check (default: all of them)',
    )
    add_model_options(parser)
    parser.add_argument(
        '--namespace', default='vjepa', help='of the running nodes (default: %(default)s)'
    )
    for option, what, who in (
        ('--image-topic', 'of the camera', 'what the encoder listens to'),
        ('--pose-topic', 'of the measured pose', 'what the planner listens to'),
        ('--target-topic', 'of the commands', 'what the commander publishes'),
    ):
        parser.add_argument(option, metavar='TOPIC', help=f'{what} (default: {who})')
    parser.add_argument(
        '--seconds',
        type=float,
        default=4.0,
        help='for which it listens to the graph (default: %(default)g)',
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.health import Level

    findings = []
    for finding in _findings(options):
        findings.append(finding)
        print(_lines(finding), flush=True)
    counts = {level.value: sum(one.level is level for one in findings) for level in Level}
    print(', '.join(f'{count} {word}' for word, count in counts.items()))
    healthy = counts[Level.FAIL.value] == 0
    checks = [one.as_dict() for one in findings]
    write_json(options.json, {'healthy': healthy, 'counts': counts, 'checks': checks})
    return 0 if healthy else 1


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from vjepa_planner.cli.waiting import waiting
    from vjepa_planner.health import check_model, Finding, Level, ModelChoice

    if 'model' in options.only:
        choice = ModelChoice(
            model=options.model,
            backend=options.backend,
            device=options.device,
            precision=options.precision,
        )
        with waiting('checking the model'):
            about_model = list(check_model(choice))
        yield from about_model
    if not {'ros', 'graph'} & set(options.only):
        return
    if find_spec('vjepa_ros') is None:
        advice = 'Run `make setup` in its repository.'
        yield Finding(check='vjepa_ros', level=Level.SKIPPED, found='not installed', advice=advice)
        return
    yield from _ros_findings(options)


def _ros_findings(options: argparse.Namespace) -> Iterator[Finding]:
    """Yield what the ROS package finds, which this one must not import before it is asked for."""
    from vjepa_planner.cli.waiting import waiting
    from vjepa_planner.health import Finding, Level

    environment = list(import_module(f'{_DOCTOR}.environment').check_environment())
    if 'ros' in options.only:
        yield from environment
    if 'graph' not in options.only:
        return
    if any(one.level is Level.FAIL for one in environment):
        yield Finding(check='graph', level=Level.SKIPPED, found='ROS is not in order')
        return
    doctor = import_module(f'{_DOCTOR}.graph')
    config = doctor.DoctorConfig(
        namespace=options.namespace,
        image_topic=options.image_topic,
        pose_topic=options.pose_topic,
        target_topic=options.target_topic,
        seconds=options.seconds,
    )
    with waiting('listening to the graph'):
        findings = list(doctor.check_graph(config))
    yield from findings


def _lines(finding: Finding) -> str:
    """Return a finding for people: what was found, and below it what is missing."""
    text = f'{finding.level.value:<8} {finding.check:<16} {finding.found}'
    if finding.level.value in ('warn', 'fail'):
        for word, more in (('expected', finding.expected), ('do', finding.advice)):
            text += f'\n{"":<25} {word}: {more}' if more else ''
    return text
