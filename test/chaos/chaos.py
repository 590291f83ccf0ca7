# SPDX-License-Identifier: Apache-2.0
"""Breaks things at random for as long as it is asked to: ``make chaos CHAOS_ARGS='--minutes 10'``.

The nodes run as processes with the simulator and follow a goal. Again and again something happens
to them: a process is suspended or killed, images, measured poses, joint states or targets are
late, lost, doubled, reordered, frozen or spoiled, or somebody calls ``e_stop``; sometimes two of
these at once. After each, the arm must come to rest or go on with a new plan, and then the calls
of an operator must bring the pursuit back. Meanwhile a monitor judges every target.

Exit code 1 if anything was violated. The same seed gives the same faults.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import signal
import sys
import tempfile
import time
from typing import Any

sys.path[:0] = [
    str(Path(__file__).parent),
    str(Path(__file__).parents[1] / 'faults'),
    str(Path(__file__).parents[1] / 'support'),
]

import numpy as np  # noqa: E402
import proxy  # noqa: E402
from resources import Resources, resources, shared_memory  # noqa: E402
from suite import Suite, suite_parameters  # noqa: E402
from tqdm import tqdm  # noqa: E402

from vjepa_msgs.msg import Status  # noqa: E402
from vjepa_ros.child_nodes.nodes import NODES  # noqa: E402

READY = 180.0  # [s] until the first plan, on a busy machine
REST = 20.0  # [s] after a fault until the arm rests or goes on
BACK = 60.0  # [s] after that until the pursuit goes on; DDS forgets who was killed after 20 s
RESTING = 0.004  # [m/s]
SETTLED = 20.0  # [s] after its start, when what a process holds is noted for the first time
MOST_MEMORY, MOST_FILES, MOST_THREADS = 40.0, 8, 2  # [MB] of growth from then on that is no leak
LAST_COMMAND = 0.04  # [s] after e_stop, on an idle machine
AT_REST = (Status.IDLE, Status.HOLDING, Status.WAITING, Status.STOPPED, Status.E_STOPPED)


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        faults: Number of each.
        ended: How each ended: ``rest`` or ``went on``.
        stops: Steady times from the call of ``e_stop`` to the last target [s].
        violations: In words.
        back: Times until the pursuit went on [s].
        left_behind: Shared memory of killed processes, which was removed [MB].
    """

    faults: Counter[str] = field(default_factory=Counter)
    ended: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    stops: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    left_behind: float = 0.0
    violations: list[str] = field(default_factory=list)


class Chaos:
    """One run."""

    def __init__(self, suite: Suite, seed: int) -> None:
        """Break ``suite`` as the seed says."""
        self._suite = suite
        self._random = random.Random(seed)
        self._pixels = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        self.outcome = Outcome()
        self._started = {name: time.monotonic() for name in NODES}
        self._before: dict[str, Resources] = {}
        self.growth: dict[str, list[float]] = {name: [0.0, 0.0, 0.0] for name in NODES}

    def run(self, seconds: float) -> None:
        """Break things for so long."""
        if not self._suite.pursue(self._pixels, READY):
            self._violated(f'no plan within {READY:g} s: {self._suite.what_nodes_say()}')
            return
        end = time.monotonic() + seconds
        with tqdm(total=round(seconds), unit='s', desc='chaos') as bar:
            while time.monotonic() < end:
                self._round()
                bar.n = min(round(seconds), round(seconds - (end - time.monotonic())))
                bar.set_postfix(violations=len(self.outcome.violations))

    def _round(self) -> None:
        time.sleep(self._random.uniform(0.0, 1.5))
        faults = [self._choose() for _ in range(1 if self._random.random() < 0.75 else 2)]
        names = ' + '.join(name for name, _, _ in faults)
        for name, begin, _ in faults:
            self.outcome.faults[name] += 1
            begin()
        time.sleep(self._random.uniform(0.2, 3.0))
        for _, _, heal in faults:
            heal()
        healed = time.monotonic()
        ended = self._end()
        if ended is None:
            said = self._suite.what_nodes_say()
            self._violated(f'{names}: neither rest nor a new plan within {REST:g} s. {said}')
        else:
            for name, _, _ in faults:
                self.outcome.ended[name][ended] += 1
        if self._suite.pursue(self._pixels, BACK):
            self.outcome.back.append(time.monotonic() - healed)
        else:
            said = self._suite.what_nodes_say()
            self._violated(f'{names}: no new plan within {BACK:g} s. {said}')
        self._look_at_resources()

    def _end(self) -> str | None:
        """Return how a fault ended: with the arm at rest, or with a new plan; None: neither."""
        deadline = time.monotonic() + REST
        accepted: int | None = None
        while time.monotonic() < deadline:
            status = self._suite.status('commander')
            if status is not None:
                if accepted is not None and status.accepted > accepted:
                    return 'went on'
                if status.state in AT_REST and self._suite.speed() < RESTING:
                    return 'rest'
                accepted = status.accepted
            time.sleep(0.05)
        return None

    # -- faults --------------------------------------------------------------------------------

    def _choose(self) -> tuple[str, Callable[[], None], Callable[[], None]]:
        """Return a fault: its name, how it begins and how it ends."""
        kind = self._random.choice(['suspend', 'kill', 'spoil', 'spoil', 'spoil', 'e_stop'])
        if kind == 'e_stop':
            return 'e_stop', self._e_stop, lambda: None
        if kind == 'spoil':
            return self._choose_stream()
        node = self._random.choice(NODES)
        if kind == 'suspend':
            return (
                f'SIGSTOP {node}',
                lambda: self._send(node, signal.SIGSTOP),
                lambda: self._send(node, signal.SIGCONT),
            )
        return f'SIGKILL {node}', lambda: self._kill(node), lambda: self._restart(node)

    def _choose_stream(self) -> tuple[str, Callable[[], None], Callable[[], None]]:
        stream = self._random.choice(['image', 'pose', 'pose', 'joints', 'target'])
        delay = self._random.choice([0.05, 0.2, 1.0])
        faults: dict[str, proxy.Fault] = {
            f'delay {delay:g} s': proxy.delayed(delay),
            'drop': proxy.dropped,
            'double': proxy.duplicated(3),
            'reorder': proxy.reordered(3),
            'freeze': proxy.frozen(),
            'corrupt': proxy.changed(_CORRUPT[stream]),
        }
        # A controller that is fed NaN or old targets is another matter than what is sent to it.
        names = [name for name in faults if stream != 'target' or name[:4] in ('dela', 'drop')]
        name = self._random.choice(names)
        return (
            f'{name} {stream}',
            lambda: self._suite.spoil(stream, faults[name]),
            lambda: self._suite.spoil(stream, proxy.passed_on),
        )

    def _send(self, node: str, number: signal.Signals) -> None:
        if node in self._started:
            self._suite.send(node, number)

    def _kill(self, node: str) -> None:
        if self._started.pop(node, None) is not None:
            files = shared_memory(self._suite.processes.pid(node))
            self._suite.processes.kill(node)
            self._before.pop(node, None)
            self._remove(files)

    def _remove(self, files: list[Path]) -> None:
        """Remove the shared memory of a process that was killed; Fast DDS leaves it for ever."""
        for file in files:
            if file.exists():
                self.outcome.left_behind += 512 * file.stat().st_blocks / 1e6
                file.unlink()

    def _restart(self, node: str) -> None:
        if node not in self._started:
            self._suite.start(node)
            self._started[node] = time.monotonic()

    def _e_stop(self) -> None:
        called = time.monotonic()
        if not self._suite.call('e_stop'):
            return  # the commander is suspended or dead, too
        answered = time.monotonic()
        time.sleep(0.3)
        self.outcome.stops.append(max(0.0, self._suite.last_target - called))
        if self._suite.last_target > answered + 2 * LAST_COMMAND:
            self._violated(f'a target {self._suite.last_target - answered:.3f} s after e_stop')

    # -- leaks ---------------------------------------------------------------------------------

    def _look_at_resources(self) -> None:
        now = time.monotonic()
        for node, started in self._started.items():
            if now - started < SETTLED:
                continue
            found = resources(self._suite.processes.pid(node))
            before = self._before.setdefault(node, found)
            grown = [after - then for after, then in zip(found, before, strict=True)]
            self.growth[node] = [max(pair) for pair in zip(grown, self.growth[node], strict=True)]

    def check_leaks(self) -> None:
        """Complain about processes that hold ever more."""
        for node, grown in self.growth.items():
            for value, most, what in zip(
                grown, (MOST_MEMORY, MOST_FILES, MOST_THREADS),
                ('MB of memory', 'file descriptors', 'threads'), strict=True,
            ):  # fmt: skip
                if value > most:
                    self._violated(f'{node} holds {value:.0f} {what} more than after its start')

    def _violated(self, what: str) -> None:
        self.outcome.violations.append(what)


def _nan(message: Any) -> None:
    message.pose.position.x = float('nan')


def _short(message: Any) -> None:
    message.data = message.data[: len(message.data) // 2]


def _nan_joints(message: Any) -> None:
    message.position = [float('nan')] * len(message.position)


_CORRUPT = {'image': _short, 'pose': _nan, 'joints': _nan_joints, 'target': _nan}


def report(chaos: Chaos, suite: Suite, about: dict[str, Any]) -> dict[str, Any]:
    """Return what came out, as JSON takes it."""
    outcome, monitor = chaos.outcome, suite.monitor
    return {
        **about,
        'load_after': os.getloadavg()[0],
        'faults': {name: [count, dict(outcome.ended[name])]
                   for name, count in sorted(outcome.faults.items())},
        'targets': monitor.targets,
        'motions': monitor.motions,
        'late_ticks': monitor.late,
        'extremes': monitor.extremes,
        'bad_targets': monitor.count,
        'e_stop_to_last_target': outcome.stops,
        'seconds_until_pursuit_went_on': outcome.back,
        'shared_memory_left_behind': outcome.left_behind,
        'growth': {name: dict(zip(Resources._fields, grown, strict=True))
                   for name, grown in chaos.growth.items()},
        'violations': outcome.violations + monitor.violations,
    }  # fmt: skip


def print_report(result: dict[str, Any]) -> None:
    """Print it for people."""
    print(
        f'{result["mode"]}, seed {result["seed"]}, {result["minutes"]:g} min, '
        f'{result["cores"]} cores, load {result["load_before"]:.1f} before and '
        f'{result["load_after"]:.1f} after'
    )
    for name, (count, ended) in result['faults'].items():
        endings = ', '.join(f'{how} {number}' for how, number in ended.items())
        print(f'  {count:3d} x {name:24} {endings}')
    back, stops = result['seconds_until_pursuit_went_on'], result['e_stop_to_last_target']
    if back:
        print(f'pursuit went on after {np.median(back):.1f} s (median), {max(back):.1f} s at most')
    if stops:
        print(f'e_stop to last target: {1e3 * max(stops):.0f} ms at most, of {len(stops)}')
    print(
        f'{result["targets"]} targets, {result["motions"]} motions and holds, '
        f'{result["late_ticks"]} late ticks; largest: '
        + ', '.join(f'{name} {value:.3f}' for name, value in result['extremes'].items())
    )
    for name, grown in result['growth'].items():
        print(
            f'  {name:10} grew by at most {grown["memory"]:.1f} MB, {grown["files"]} files, '
            f'{grown["threads"]} threads'
        )
    print(f'killed processes left {result["shared_memory_left_behind"]:.0f} MB of shared memory')
    print(f'{len(result["violations"])} violations')
    for violation in result['violations']:
        print(f'  {violation}')


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Break the nodes at random and judge every command.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--minutes', type=float, default=10.0, help='how long')
    add('--seed', type=int, default=0, help='of the faults')
    add('--mode', choices=('blocking', 'streaming'), default='blocking', help='of the commander')
    add('--model', default='', help='world model; by default a tiny one of random weights')
    add('--logs', type=Path, default=None, help='folder for the logs of the nodes, to be kept')
    add('--json', type=Path, default=None, metavar='FILE', help='where to write the results too')
    arguments = parser.parse_args()
    if arguments.minutes <= 0.0:
        parser.error('--minutes must be positive')
    return arguments


def run(minutes: float, seed: int, mode: str, model: str, folder: Path) -> dict[str, Any]:
    """Run the chaos and return what came out."""
    about = {
        'seed': seed,
        'mode': mode,
        'minutes': minutes,
        'cores': os.cpu_count(),
        'load_before': os.getloadavg()[0],
    }
    if not model:
        from ros_graph import make_tiny_model

        model = str(make_tiny_model(folder / 'tiny'))
    with Suite(folder, suite_parameters(model, 'torch', mode), faulty=True) as suite:
        chaos = Chaos(suite, seed)
        chaos.run(60.0 * minutes)
        chaos.check_leaks()
        pids = [suite.processes.pid(name) for name in NODES]
    for pid in pids:
        if Path('/proc', str(pid)).exists():
            chaos.outcome.violations.append(f'process {pid} is still there')
    return report(chaos, suite, about)


def main() -> int:
    """Run, report, and return the exit code."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.logs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = run(arguments.minutes, arguments.seed, arguments.mode, arguments.model, folder)
    print_report(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + '\n')
    return 1 if result['violations'] else 0


if __name__ == '__main__':
    sys.exit(main())
