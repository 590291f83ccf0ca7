# SPDX-License-Identifier: Apache-2.0
"""What each part of the planner brings, and what the published one reaches with the same model.

    python benchmarks/planner_ablation.py --out runs/planner_ablation

The same episodes with every variant, through ``vjepa eval``, as many at once as there are cores. A
run that was interrupted goes on. `published` is the cross-entropy method at the budget of the
paper and evaluates 28 times the candidates of the default: about a minute per episode and core.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys

from evaluations import evaluate, Job, print_successes, settings

_PUBLISHED = {'num_samples': 800, 'num_iterations': 10, 'num_elites': 10, 'num_fits': 0} | {
    f'momentum_{name}': 0.15 for name in ('mean', 'std', 'mean_gripper', 'std_gripper')
}
VARIANTS = {
    'as shipped': {},
    # As many candidates as with the fits.
    'without fits': {'num_fits': 0, 'num_iterations': 6},
    # Nor is the prediction for no motion used to correct the others then.
    'without approach': {'clearance_height': 0.0},
    'published': {**_PUBLISHED, 'clearance_height': 0.0},
    'published budget, with approach': _PUBLISHED,
}
TASKS = ('reach', 'grasp_cup', 'grasp_box', 'pick_place_cup', 'pick_place_box')


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='What each part of the planner brings.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--out', type=Path, required=True, help='directory for reports; what is there is kept')
    add('--variants', nargs='+', choices=list(VARIANTS), default=list(VARIANTS), metavar='NAME',
        help=f'of {", ".join(VARIANTS)}')  # fmt: skip
    add('--tasks', nargs='+', default=list(TASKS), metavar='TASK', help='of vjepa eval')
    add('--episodes', type=int, default=30, help='of each')
    add('--seed', type=int, default=810_000, help='of the first episode')
    add('--processes', type=int, default=os.cpu_count(), help='at once')
    add('--json', type=Path, default=None, metavar='FILE', help='where to write all reports too')
    return parser.parse_args()


def main() -> int:
    """Run what is missing, and report."""
    arguments = parse_arguments()
    jobs = [
        Job(variant, task, settings(**VARIANTS[variant]))
        for variant in arguments.variants
        for task in arguments.tasks
    ]
    reports = evaluate(
        jobs, arguments.out, arguments.episodes, arguments.seed, arguments.processes
    )
    print_successes(reports)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(reports, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
