# SPDX-License-Identifier: Apache-2.0
"""What each part of the training brings: pre-training, rollout loss, context, resolution.

    python benchmarks/training_ablation.py --out runs/training_ablation

Collects episodes, trains a model per variant with the commands of docs/training.md, all with the
same small budget, and lets each do the same tasks with the planner settings of the shipped model.
Two to three hours on two cores; a run that was interrupted goes on. With the default budget a
model is far from the shipped one, whose row stands below for comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import shutil
import sys
from typing import Any

from evaluations import evaluate, Job, print_successes, run_vjepa, settings

from vjepa_planner.model_files import find_model
from vjepa_planner.training.run import read_log

SHIPPED = 'franka-sim'
_STEM = ('--stem', 'convolutional')


@dataclass(frozen=True)
class Variant:
    """A model: its encoder, and what is different about its predictor."""

    encoder: str
    predictor: tuple[str, ...] = ()


ENCODERS = {
    'next embedding': ('--recipe=simulator', '--image-size=128', *_STEM),
    '64 px': ('--recipe=simulator', '--image-size=64', *_STEM),
    'masked': ('--recipe=published', '--image-size=128', '--frames=4', '--momentum=0.996',
               '--keep-going', *_STEM),
    'random': ('--recipe=simulator', '--image-size=128', *_STEM, '--steps=1',
               '--learning-rate=1e-12'),
}  # fmt: skip
VARIANTS = {
    'full': Variant('next embedding'),
    'no rollout loss': Variant('next embedding', ('--rollout-weight=0',)),
    'windows of 5 frames': Variant('next embedding', ('--frames=5',)),
    'resolution 64 px': Variant('64 px'),
    'masked pre-training': Variant('masked'),
    'no pre-training': Variant('random'),
}


def collect(arguments: argparse.Namespace) -> Path:
    """Collect the episodes that all variants learn from, and return their directory."""
    data: Path = arguments.data or arguments.out / 'data'
    words = ['collect', '--out', str(data), '--episodes', str(arguments.episodes)]
    words += ['--frames', '20', '--exploration', 'objects']
    if arguments.data is None:
        run_vjepa(words, arguments.out / 'collect.log', launcher=[_vjepa()])
    return data


def train(
    part: str, options: Sequence[str], out: Path, data: Path, arguments: argparse.Namespace
) -> Path:
    """Train, if that is not done yet, and return the directory of the model."""
    if not (out / 'model' / 'config.json').exists():
        print(f'training {out.name}', flush=True)
        launcher = [_vjepa()]
        if arguments.processes > 1:
            launcher = ['torchrun', '--nproc-per-node', str(arguments.processes), '--no-python']
            launcher = [str(Path(sys.executable).parent / launcher[0]), *launcher[1:], _vjepa()]
        words = ['train', part, '--data', str(data), '--out', str(out), *options]
        run_vjepa(words, out.parent / f'{out.name}.log', launcher=launcher)
    return out / 'model'


def train_variant(name: str, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train encoder and predictor of a variant; return its model and what held-out data say."""
    variant = VARIANTS[name]
    out: Path = arguments.out
    encoder = out / f'encoder {variant.encoder}'.replace(' ', '_')
    budget = [f'--steps={arguments.encoder_steps}', '--batch-size=28']
    model = train('encoder', [*budget, *ENCODERS[variant.encoder]], encoder, data, arguments)
    predictor = out / f'predictor {name}'.replace(' ', '_')
    options = ['--recipe=simulator', '--model', str(model), '--scratch', '--predictor-depth=3',
               f'--steps={arguments.predictor_steps}', '--batch-size=48', '--learning-rate=8e-4',
               '--gripper-share=0.2', *variant.predictor]  # fmt: skip
    model = train('predictor', options, predictor, data, arguments)
    (predictor / 'features.f16').unlink(missing_ok=True)
    return {'model': str(model), **_last(encoder, 'probe_'), **_last(predictor, 'validation_')}


def _last(run: Path, prefix: str) -> dict[str, float]:
    """Return the last held-out measurements of a run."""
    lines = [
        line for line in read_log(run / 'log.jsonl') if any(k.startswith(prefix) for k in line)
    ]
    return {k: v for k, v in lines[-1].items() if k.startswith(prefix)} if lines else {}


def _vjepa() -> str:
    path = shutil.which('vjepa', path=str(Path(sys.executable).parent)) or shutil.which('vjepa')
    if path is None:
        raise SystemExit('the command vjepa is not installed beside this interpreter.')
    return path


def print_measurements(measured: dict[str, dict[str, Any]]) -> None:
    """Print what held-out episodes say."""
    print(
        f'{"":24}{"hand found to":>16}{"1 step":>10}{"2 steps":>10}{"other":>10}  of the error of '
        'copying; then by frames of context'
    )
    for name, one in measured.items():
        copy = one.get('validation_copy', float('nan'))
        shares = [
            one.get(f'validation_{key}', float('nan')) / copy
            for key in ('one_step', 'two_steps', 'shuffled')
        ]
        contexts = sorted(key for key in one if key.startswith('validation_context_'))
        probe = 100.0 * one.get('probe_position', float('nan'))
        print(
            f'{name:24}{probe:13.1f} cm' + ''.join(f'{share:10.3f}' for share in shares) + '  '
            + ' '.join(f'{one[key] / copy:.3f}' for key in contexts)
        )  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='What each part of the training brings.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--out', type=Path, required=True, help='directory for everything; what is there is kept')
    add('--data', type=Path, default=None, help='dataset to learn from; None collects one')
    add('--episodes', type=int, default=800, help='to collect')
    add('--variants', nargs='+', choices=list(VARIANTS), default=list(VARIANTS), metavar='NAME',
        help=f'of {", ".join(VARIANTS)}')  # fmt: skip
    add('--encoder-steps', type=int, default=1500, help='of every encoder')
    add('--predictor-steps', type=int, default=2000, help='of every predictor')
    add('--tasks', nargs='*', default=['reach', 'grasp_cup'], metavar='TASK', help='of vjepa eval')
    add('--trials', type=int, default=30, help='episodes of each task')
    add('--seed', type=int, default=810_000, help='of the first trial')
    add('--processes', type=int, default=os.cpu_count(), help='that train together')
    add('--json', type=Path, default=None, metavar='FILE', help='where to write all results too')
    return parser.parse_args()


def main() -> int:
    """Train and evaluate what is missing, and report."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = collect(arguments)
    measured = {name: train_variant(name, data, arguments) for name in arguments.variants}
    print_measurements(measured)
    recommended = json.loads((find_model(SHIPPED) / 'config.json').read_text())['planner']
    planner = settings(**{key: value for key, value in recommended.items() if key != 'name'})
    models = {name: one['model'] for name, one in measured.items()} | {'shipped': SHIPPED}
    jobs = [
        Job(name, task, ('--model', model, *planner))
        for name, model in models.items()
        for task in arguments.tasks
    ]
    reports = evaluate(
        jobs, arguments.out / 'trials', arguments.trials, arguments.seed, arguments.processes
    )
    print_successes(reports)
    if arguments.json is not None:
        content = {'measured': measured, 'trials': reports}
        arguments.json.write_text(json.dumps(content, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
