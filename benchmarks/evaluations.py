# SPDX-License-Identifier: Apache-2.0
"""Runs of ``vjepa eval`` side by side, each once, and a table of what came out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import as_completed, ThreadPoolExecutor
from dataclasses import dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from tqdm import tqdm

from vjepa_planner.evaluation.report import wilson_interval

VARY = 'colors,lights,camera'
VJEPA = 'import sys; from vjepa_planner.cli.main import main; sys.exit(main())'


@dataclass(frozen=True)
class Job:
    """One evaluation.

    Attributes:
        variant: What is compared.
        task: Of ``vjepa eval``.
        options: Further words of its command line.
    """

    variant: str
    task: str
    options: tuple[str, ...] = ()


def settings(**values: object) -> tuple[str, ...]:
    """Return options that change settings of the planner."""
    words = ((f'--set={name}={json.dumps(value)}') for name, value in values.items())
    return tuple(words)


def run_vjepa(arguments: Sequence[str], log: Path, *, launcher: Sequence[str] = ()) -> None:
    """Run a command of ``vjepa``, and keep what it prints.

    Args:
        arguments: After the word ``vjepa``.
        log: Where its output goes.
        launcher: Starts it; without, this interpreter does, on one core.

    Raises:
        SystemExit: It failed.
    """
    command = [*launcher, *([] if launcher else [sys.executable, '-c', VJEPA]), *arguments]
    environment = os.environ if launcher else {**os.environ, 'OMP_NUM_THREADS': '1'}
    with log.open('w') as output:
        process = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if process.returncode:
        last = '\n'.join(log.read_text().replace('\r', '\n').splitlines()[-5:])
        raise SystemExit(f'{" ".join(arguments)}: exit code {process.returncode}.\n{last}')


def evaluate(
    jobs: Sequence[Job], folder: Path, episodes: int, seed: int, processes: int
) -> list[dict[str, Any]]:
    """Run the evaluations that are not in ``folder`` yet, and return the reports of all.

    Args:
        jobs: What to run.
        folder: Where reports are kept.
        episodes: Of each.
        seed: Of the first episode.
        processes: At once, each on one core.

    Raises:
        SystemExit: One failed.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def run(job: Job) -> None:
        name = f'{job.variant} {job.task}'.replace(' ', '_').replace('/', '_')
        file = folder / f'{name}_{seed}_{episodes}.json'
        if not file.exists():
            words = ['eval', '--task', job.task, '--episodes', str(episodes), '--seed', str(seed)]
            words += ['--vary', VARY, '--json', str(file), *job.options]
            run_vjepa(words, folder / f'{name}.log')
        reports[job] = {**json.loads(file.read_text()), 'variant': job.variant}

    reports: dict[Job, dict[str, Any]] = {}
    with ThreadPoolExecutor(processes) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        for future in tqdm(as_completed(futures), total=len(jobs), unit='task'):
            future.result()
    return [reports[job] for job in jobs]


def print_successes(reports: Sequence[dict[str, Any]]) -> None:
    """Print a table: a row per variant, a column per task."""
    tasks = list(dict.fromkeys(report['task'] for report in reports))
    variants = list(dict.fromkeys(report['variant'] for report in reports))
    width = max(map(len, variants)) + 2
    print(' ' * width + ''.join(f'{task:>28}' for task in tasks) + f'{"s/action":>12}')
    for variant in variants:
        row = {one['task']: one for one in reports if one['variant'] == variant}
        cells = [_cell(row[task]) if task in row else '' for task in tasks]
        seconds = max(one['seconds_per_action'] for one in row.values())
        print(f'{variant:{width}}' + ''.join(f'{cell:>28}' for cell in cells) + f'{seconds:12.2f}')
    print('in brackets the 95 % interval, then the median of the final distance')


def _cell(report: dict[str, Any]) -> str:
    results = report['results']
    successes = sum(one['success'] for one in results)
    low, high = wilson_interval(successes, len(results))
    distance = 100.0 * report['final_distance_median']
    return f'{successes}/{len(results)} ({low:.0%} .. {high:.0%}) {distance:.1f} cm'
