# SPDX-License-Identifier: Apache-2.0
"""``vjepa eval``: success rates in the simulator."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_planner.cli.options import (
    add_json_option,
    add_model_options,
    add_planner_options,
    load_chosen_model,
    make_chosen_planner,
    write_json,
)
from vjepa_planner.errors import InvalidInputError

if TYPE_CHECKING:
    from vjepa_planner.evaluation import Episode, Task
    from vjepa_planner.planners import Planner
    from vjepa_planner.world_model import WorldModel

_DESCRIPTION = """\
Run episodes in the simulator and report the success rate with its 95 % interval. What is to be
done is shown in goal images; what was done is judged by the state of the simulator.

tasks:
  reach              the end effector within 4 cm of where the goal image shows it; 15 actions
  grasp_OBJECT       the object between the fingers, lifted by 4 cm; 15 actions
  reach_with_OBJECT  the object, held from the start, within 4 cm of where the goal image shows
                     it; 15 actions
  pick_place_OBJECT  the object upright on the plate and let go; three goal images (grasped, near
                     the plate, placed) for 4, 10 and 4 actions, as in the V-JEPA 2 paper
with OBJECT cup or box. All criteria are explained in docs/evaluation.md.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'eval',
        help='measure the success rate of a task in the simulator',
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--task', default='reach', help='reach, grasp_cup, ... see above (default: %(default)s)'
    )
    parser.add_argument(
        '--goals',
        choices=('sub-goals', 'final'),
        default='sub-goals',
        help='final: show only the last goal image, for all actions (default: %(default)s)',
    )
    parser.add_argument('--episodes', type=int, default=50, help='(default: %(default)s)')
    parser.add_argument(
        '--seed',
        type=int,
        default=800_000,
        help='seed of the first episode; the others count up (default: %(default)s)',
    )
    parser.add_argument(
        '--vary',
        default='colors',
        help='what looks different in every episode besides object places and poses: any of '
        'colors,lights,camera, or none (default: %(default)s)',
    )
    parser.add_argument(
        '--renderer', default='ray', help='camera: ray, or gl for OpenGL (default: %(default)s)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='write a report to look at: report.md, report.json, curves.png, videos',
    )
    parser.add_argument(
        '--videos',
        type=int,
        default=3,
        help='with --out: videos of so many successes and so many failures (default: %(default)s)',
    )
    add_model_options(parser)
    add_planner_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.evaluation import EvaluationReport, find_task
    from vjepa_planner.evaluation.report_folder import ReportFolder

    if options.episodes < 1 or options.seed < 0:
        raise InvalidInputError(
            f'--episodes must be positive and --seed not negative, got {options.episodes} and '
            f'{options.seed}.'
        )
    if options.videos < 0:
        raise InvalidInputError(f'--videos must not be negative, got {options.videos}.')
    task = find_task(options.task)
    vary = frozenset(options.vary.split(',')) - {'none', ''}
    world_model = load_chosen_model(options)
    planner = make_chosen_planner(options, world_model)
    folder = ReportFolder(options.out, options.videos) if options.out else None
    results = []
    for episode in _episodes(options, world_model, planner, task, vary):
        results.append(episode.result)
        if folder:
            folder.add(episode)
    report = EvaluationReport(
        task=options.task,
        model=world_model.config.name,
        planner=options.planner or str(world_model.config.planner.get('name', 'cem')),
        results=results,
    )
    print(report)
    about = {
        'goals': options.goals,
        'seed': options.seed,
        'vary': sorted(vary),
        'renderer': options.renderer,
        'planner_settings': asdict(planner.config),
    }
    write_json(options.json, report.to_json() | about)
    if folder:
        folder.finish(report, about)
        print(f'report: {options.out / "report.md"}')
    return 0


def _episodes(
    options: argparse.Namespace,
    world_model: WorldModel,
    planner: Planner,
    task: Task,
    vary: frozenset[str],
) -> Iterator[Episode]:
    """Yield the episodes, with a bar that counts them and their successes."""
    from tqdm import tqdm

    from vjepa_planner.evaluation import evaluate
    from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

    config = SimulationConfig(vary=vary, renderer=options.renderer)
    seeds = range(options.seed, options.seed + options.episodes)
    final = options.goals == 'final'
    successes = 0
    with (
        closing(FrankaSimulation(config)) as simulation,
        tqdm(total=len(seeds), unit='episode', desc=task.name) as progress,
    ):
        for count, episode in enumerate(
            evaluate(world_model, planner, simulation, seeds, task, final_goal_only=final), start=1
        ):
            yield episode
            successes += episode.result.success
            progress.update()
            progress.set_postfix_str(f'{successes}/{count} succeeded')
