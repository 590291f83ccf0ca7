# SPDX-License-Identifier: Apache-2.0
"""``vjepa eval``: success rates in the simulator."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from functools import partial
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
from vjepa_planner.cli.through_ros import check_ros, episodes_through_ros
from vjepa_planner.errors import InvalidInputError

if TYPE_CHECKING:
    from vjepa_planner.evaluation import Episode, Task
    from vjepa_planner.planners import Planner
    from vjepa_planner.simulation import FrankaSimulation
    from vjepa_planner.world_model import WorldModel

    _Note = Callable[[str], None]
    _Source = Callable[[_Note], Generator[Episode]]

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
    parser.add_argument(
        '--through',
        choices=('library', 'ros'),
        default='library',
        help='ros: the same episodes done by the real ROS 2 nodes, each a process of its own '
        '(default: %(default)s)',
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
    from vjepa_planner.evaluation import EvaluationReport
    from vjepa_planner.evaluation.report_folder import ReportFolder
    from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

    task = _checked_task(options)
    vary = frozenset(options.vary.split(',')) - {'none', ''}
    world_model = load_chosen_model(options)
    planner = make_chosen_planner(options, world_model)
    model = world_model.config
    planner_name = options.planner or str(model.planner.get('name', 'cem'))
    # Whatever way: unknown looks and cameras are refused before anything is written.
    simulation = FrankaSimulation(SimulationConfig(vary=vary, renderer=options.renderer))
    if options.through == 'ros':
        simulation.close()  # the nodes have their own, and their own model
        source: _Source = partial(
            episodes_through_ros, options, task, vary, planner_name, planner.config
        )
    else:
        source = partial(_episodes_in_library, options, task, simulation, world_model, planner)
    del world_model
    folder = ReportFolder(options.out, options.videos) if options.out else None
    results = []
    with closing(_counted(source, options.episodes, task.name)) as episodes:
        for episode in episodes:
            results.append(episode.result)
            if folder:
                folder.add(episode)
    report = EvaluationReport(
        task=task.name, model=model.name, planner=planner_name, results=results
    )
    print(report)
    about = {
        'through': options.through,
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


def _checked_task(options: argparse.Namespace) -> Task:
    """Return the task, after a look at everything that needs no model."""
    from vjepa_planner.evaluation import find_task

    if options.episodes < 1 or options.seed < 0:
        raise InvalidInputError(
            f'--episodes must be positive and --seed not negative, got {options.episodes} and '
            f'{options.seed}.'
        )
    if options.videos < 0:
        raise InvalidInputError(f'--videos must not be negative, got {options.videos}.')
    task = find_task(options.task)
    if options.through == 'ros':
        check_ros(options)
    return task


def _episodes_in_library(
    options: argparse.Namespace,
    task: Task,
    simulation: FrankaSimulation,
    world_model: WorldModel,
    planner: Planner,
    _note: _Note,
) -> Generator[Episode]:
    """Yield the episodes that this process does by itself."""
    from vjepa_planner.evaluation import evaluate

    seeds = range(options.seed, options.seed + options.episodes)
    final = options.goals == 'final'
    with closing(simulation):
        yield from evaluate(world_model, planner, simulation, seeds, task, final_goal_only=final)


def _counted(source: _Source, total: int, name: str) -> Generator[Episode]:
    """Yield the episodes, with a bar that counts them and their successes."""
    from tqdm import tqdm

    successes = count = 0

    def show(text: str = '') -> None:
        progress.set_postfix_str(', '.join(filter(None, (f'{successes}/{count} succeeded', text))))

    with (
        tqdm(total=total, unit='episode', desc=name) as progress,
        closing(source(show)) as episodes,
    ):
        for episode in episodes:
            yield episode
            count += 1
            successes += episode.result.success
            progress.update()
            show()
