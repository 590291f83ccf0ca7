# SPDX-License-Identifier: Apache-2.0
"""Runs everything for long and looks for what grows: ``make soak SOAK_ARGS='--minutes 60'``.

Simulator and nodes run as processes; the goal is replaced every so often by a camera image of
before. Every few seconds it is written down what each process holds, and how long plans took and
how old their images were when they came.

Exit code 1 if something grows: memory faster than a limit per hour, or file descriptors or
threads at all, both after a warm-up; or if plans stop, or the monitor finds a bad target.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from resources import Resources, resources, slope
from suite import Suite, suite_parameters
from tqdm import tqdm

from vjepa_ros import conversions
from vjepa_ros.child_nodes.nodes import NODES

READY = 300.0  # [s] until the first plan
PATIENCE = 120.0  # [s] until a plan for a new goal moves the arm
WARM_UP = 0.25  # of the time: until everything that is loaded once has been loaded
MOST_MEMORY = 10.0  # [MB/h] that a process may grow ...
NOISE = 4.0  # [MB] ... if it is more than this in all
MOST_FILES, MOST_THREADS = 2, 0  # in all, after the warm-up
WINDOWS = 6  # in which latencies are summed up
PERCENTILES = (50, 95, 99)


class Soak:
    """What was noted.

    Attributes:
        times: Of the samples, since the begin [s].
        loads: Of the machine then.
        samples: What each process held then.
        swaps: Goals that were set.
        failures: What went wrong, in words.
    """

    def __init__(self, suite: Suite) -> None:
        """Watch ``suite``."""
        self._suite = suite
        self._begin = time.monotonic()
        self.times: list[float] = []
        self.loads: list[float] = []
        self.samples: dict[str, list[Resources]] = {name: [] for name in NODES}
        self.swaps = 0
        self.failures: list[str] = []

    def run(self, seconds: float, sample_every: float, swap_every: float) -> None:
        """Run for so long [s]; sample and swap goals this often [s]."""
        noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        if not self._suite.pursue(noise, READY):
            self.failures.append(f'no plan within {READY:g} s: {self._suite.what_nodes_say()}')
            return
        self._begin = time.monotonic()
        next_sample = next_swap = self._begin
        with tqdm(total=round(seconds), unit='s', desc='soak', mininterval=1.0) as bar:
            while (now := time.monotonic()) < self._begin + seconds:
                self._suite.processes.check()
                if now >= next_swap:
                    next_swap += swap_every
                    self._swap()
                if now >= next_sample:
                    next_sample += sample_every
                    self._sample(now)
                bar.update(round(now - self._begin) - bar.n)
                time.sleep(0.2)

    def _sample(self, now: float) -> None:
        self.times.append(now - self._begin)
        self.loads.append(os.getloadavg()[0])
        for name in NODES:
            self.samples[name].append(resources(self._suite.processes.pid(name)))

    def _swap(self) -> None:
        """Make what the camera sees now the goal: the arm moves away from it, and back."""
        assert self._suite.image is not None
        pixels = conversions.image_from_message(self._suite.image)
        if self._suite.set_goal(pixels, 60.0):
            self.swaps += 1
        else:
            self.failures.append(f'a goal was refused: {self._suite.what_nodes_say()}')
        if not self._suite.pursue(pixels, PATIENCE):
            minute = (time.monotonic() - self._begin) / 60.0
            said = self._suite.what_nodes_say()
            self.failures.append(
                f'minute {minute:.1f}, load {os.getloadavg()[0]:.1f}: no plan for a goal within '
                f'{PATIENCE:g} s: {said}'
            )

    def verdict(self) -> dict[str, Any]:
        """Return what grew by how much, and what is wrong with that."""
        first = int(WARM_UP * len(self.times))
        times = self.times[first:]
        growth, failures = {}, list(self.failures)
        for name, samples in self.samples.items():
            memory, files, threads = (np.array(one) for one in zip(*samples[first:], strict=True))
            growth[name] = {
                'memory_begin': float(memory[0]),
                'memory_end': float(memory[-1]),
                'memory_per_hour': slope(times, memory),
                'files': int(files[-1] - files[0]),
                'threads': int(threads[-1] - threads[0]),
            }
            for key, most in (
                ('memory_per_hour', MOST_MEMORY), ('files', MOST_FILES), ('threads', MOST_THREADS)
            ):  # fmt: skip
                noise = key == 'memory_per_hour' and memory[-1] - memory[0] <= NOISE
                if growth[name][key] > most and not noise:
                    failures.append(f'{name}: {key} grew by {growth[name][key]:.1f}')
        monitor = self._suite.monitor
        return {
            'goals': self.swaps,
            'plans': len(self._suite.plans),
            'targets': monitor.targets,
            'bad_targets': monitor.count,
            'growth': growth,
            'latency': self._latencies(),
            'failures': failures + monitor.violations,
        }

    def _latencies(self) -> list[dict[str, Any]]:
        """Return percentiles of plan duration and image age, by window of time."""
        plans = np.array([one for one in self._suite.plans if one[0] >= self._begin])
        result = []
        for window in np.array_split(np.arange(len(plans)), WINDOWS) if len(plans) else []:
            if len(window) == 0:
                continue
            _, durations, ages = plans[window].T
            result.append(
                {
                    'from_minute': float((plans[window[0], 0] - self._begin) / 60.0),
                    'plans': len(window),
                    'plan_seconds': _percentiles(durations),
                    'image_age_seconds': _percentiles(ages),
                }
            )
        return result


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {f'p{p}': float(np.percentile(values, p)) for p in PERCENTILES}


def write_samples(file: Path, soak: Soak) -> None:
    """Write all samples as CSV, one line per time and process."""
    lines = ['seconds,load,process,memory_mb,files,threads']
    for index, (seconds, load) in enumerate(zip(soak.times, soak.loads, strict=True)):
        for name, samples in soak.samples.items():
            one = samples[index]
            held = f'{one.memory:.2f},{one.files},{one.threads}'
            lines.append(f'{seconds:.1f},{load:.1f},{name},{held}')
    file.write_text('\n'.join(lines) + '\n')


def plot(file: Path, soak: Soak) -> None:
    """Draw memory and latency over time."""
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import pyplot as plt

    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(8, 6))
    minutes = np.array(soak.times) / 60.0
    for name, samples in soak.samples.items():
        upper.plot(minutes, [one.memory - samples[0].memory for one in samples], label=name)
    upper.set_ylabel('memory since the begin [MB]')
    upper.legend()
    plans = np.array(soak._suite.plans)
    if len(plans):
        lower.plot((plans[:, 0] - soak._begin) / 60.0, plans[:, 1], '.', label='plan')
        lower.plot((plans[:, 0] - soak._begin) / 60.0, plans[:, 2], '.', label='age of its image')
    lower.set_ylabel('[s]')
    lower.set_xlabel('[min]')
    lower.legend()
    figure.savefig(file)
    plt.close(figure)


def print_report(result: dict[str, Any]) -> None:
    """Print it for people."""
    print(
        f'{result["minutes"]:g} min, {result["cores"]} cores, load {result["load_before"]:.1f} '
        f'before and {result["load_after"]:.1f} after; {result["goals"]} goals, '
        f'{result["plans"]} plans, {result["targets"]} targets, {result["bad_targets"]} bad'
    )
    print('process     memory [MB]        per hour  files  threads (after the warm-up)')
    for name, one in result['growth'].items():
        print(
            f'{name:10}  {one["memory_begin"]:7.1f} .. {one["memory_end"]:7.1f}  '
            f'{one["memory_per_hour"]:8.2f}  {one["files"]:5d}  {one["threads"]:7d}'
        )
    print('from [min]  plans   plan p50   p95   p99 [s]   image age p50   p95   p99 [s]')
    for one in result['latency']:
        plan, age = one['plan_seconds'], one['image_age_seconds']
        print(
            f'{one["from_minute"]:10.1f}  {one["plans"]:5d}   '
            f'{plan["p50"]:8.2f} {plan["p95"]:5.2f} {plan["p99"]:5.2f}       '
            f'{age["p50"]:13.2f} {age["p95"]:5.2f} {age["p99"]:5.2f}'
        )
    print('nothing grows' if not result['failures'] else f'{len(result["failures"])} failures')
    for failure in result['failures']:
        print(f'  {failure}')


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Run everything for long and look for what grows.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--minutes', type=float, default=60.0, help='how long')
    add('--model', default='franka-sim', help='world model')
    add('--backend', default='onnxruntime', help='what computes')
    add('--swap-every', type=float, default=30.0, help='between two goals [s]')
    add('--sample-every', type=float, default=5.0, help='between two looks at the processes [s]')
    add('--out', type=Path, default=Path('out/soak'), help='folder for soak.json, samples.csv, '
        'soak.png and logs')  # fmt: skip
    arguments = parser.parse_args()
    if min(arguments.minutes, arguments.swap_every, arguments.sample_every) <= 0.0:
        parser.error('--minutes, --swap-every and --sample-every must be positive')
    return arguments


def run(
    arguments: argparse.Namespace, folder: Path, save: Callable[[Soak], None]
) -> dict[str, Any]:
    """Run the soak and return what came out; ``save`` gets it before the nodes end."""
    about = {
        'minutes': arguments.minutes,
        'model': arguments.model,
        'backend': arguments.backend,
        'cores': os.cpu_count(),
        'load_before': os.getloadavg()[0],
    }
    parameters = suite_parameters(arguments.model, arguments.backend)
    with Suite(folder, parameters, faulty=False) as suite:
        soak = Soak(suite)
        try:
            soak.run(60.0 * arguments.minutes, arguments.sample_every, arguments.swap_every)
        finally:  # also when a process has ended by itself, or after Ctrl-C
            save(soak)
        result = about | soak.verdict()
    return result | {'load_after': os.getloadavg()[0]}


def main() -> int:
    """Run, report, and return the exit code."""
    arguments = parse_arguments()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    def save(soak: Soak) -> None:
        write_samples(out / 'samples.csv', soak)
        plot(out / 'soak.png', soak)

    logs = out / 'logs'
    logs.mkdir(exist_ok=True)
    result = run(arguments, logs, save)
    (out / 'soak.json').write_text(json.dumps(result, indent=2) + '\n')
    print_report(result)
    return 1 if result['failures'] else 0


if __name__ == '__main__':
    sys.exit(main())
