# SPDX-License-Identifier: Apache-2.0
"""Memory and time of the full-size model: load a file of Meta's layout, plan one action.

    python benchmarks/full_size.py --samples 8 --folder /where/there/is/room

Makes ViT-g and the AC predictor with random weights and writes them as V-JEPA 2-AC was released:
with a second copy of the encoder and the state of the optimiser, which must not be read. Then each
precision gets a process of its own, which loads the file through the public interface, encodes an
image and plans. Numbers do not depend on what the weights are. The file is deleted in the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

GB = 1e9
FILE_BYTES = 11_760_000_000  # of Meta's file, and of the one made here
STATE = [0.45, 0.0, 0.3, 3.14159, 0.0, 0.0, 0.0]  # gripper pointing down, open
TRIAL = {'img_size': 64, 'embed_dim': 64, 'depth': 2, 'num_heads': 1}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Memory and time of ViT-g and AC predictor, from the file to the action.',
        epilog='Example: %(prog)s --precision bfloat16 --samples 32 --iterations 2',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--precision', nargs='+', default=['float32', 'bfloat16'], help='of the matrices')
    add('--samples', type=int, default=8, help='action sequences per iteration of the planner')
    add('--iterations', type=int, default=1, help='of the planner')
    add('--horizon', type=int, default=1, help='actions per sequence')
    add('--threads', type=int, default=None, help="torch's threads; None leaves it to torch")
    add('--folder', type=Path, default=Path(tempfile.gettempdir()),
        help='where the file of 12 GB is made')  # fmt: skip
    add('--checkpoint', type=Path, default=None, help='measure this file instead of making one')
    add('--trial', action='store_true', help='tiny networks, to see whether everything runs')
    add('--seed', type=int, default=0, help='of weights, image and planner')
    add('--json', type=Path, default=None, metavar='FILE', help='where to write the results too')
    add('--stage', choices=('write', 'measure'), default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.samples < 2 or arguments.iterations < 1 or arguments.horizon < 1:
        parser.error('--samples must be at least 2, --iterations and --horizon at least 1')
    return arguments


def write(arguments: argparse.Namespace) -> None:
    """Write a checkpoint of the official layout with random weights."""
    import torch
    from tqdm import tqdm

    from vjepa_planner.networks.architectures import architecture
    from vjepa_planner.networks.untrained import make_untrained_networks

    encoder_sizes, predictor_sizes = (a.to_dict() for a in architecture('vjepa2-ac-vitg'))
    if arguments.trial:
        encoder_sizes |= TRIAL
        predictor_sizes |= {**TRIAL, 'predictor_embed_dim': 64}
    sizes = {'encoder': encoder_sizes, 'ac_predictor': predictor_sizes}
    print('making random weights ...', file=sys.stderr, flush=True)
    networks = make_untrained_networks(sizes, arguments.seed)
    assert networks.predictor is not None
    encoder = {f'module.backbone.{k}': v for k, v in networks.encoder.state_dict().items()}
    predictor = {f'module.{k}': v for k, v in networks.predictor.state_dict().items()}
    # Zeros of their own: they take room in the file, but hardly any in memory.
    moments = {
        index: {'exp_avg': torch.zeros_like(v), 'exp_avg_sq': torch.zeros_like(v)}
        for index, v in enumerate(predictor.values())
    }
    width = networks.predictor.config.predictor_embed_dim
    predictor['module.extrinsics_encoder.weight'] = torch.zeros(width, 6)
    predictor['module.extrinsics_encoder.bias'] = torch.zeros(width)
    content = {
        'encoder': encoder,
        'target_encoder': {name: torch.zeros_like(v) for name, v in encoder.items()},
        'predictor': predictor,
        'opt': {'state': moments, 'param_groups': [{'lr': 4e-4, 'params': list(moments)}]},
        'scaler': None,
        'epoch': 315,
    }
    total = None if arguments.trial else FILE_BYTES
    with (
        arguments.checkpoint.open('wb') as file,
        tqdm.wrapattr(file, 'write', total=total, desc='write') as counted,
    ):
        torch.save(content, counted)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load, encode and plan in this process, and return what it took."""
    import numpy as np
    import torch

    from vjepa_planner import (
        Goal,
        load_world_model,
        make_planner,
        ModelPredictiveController,
        Observation,
    )

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    before = peak_bytes()
    start = perf_counter()
    precision = arguments.precision[0]
    model = load_world_model(arguments.checkpoint, device='cpu', precision=precision)
    loaded = perf_counter()
    loading_peak = peak_bytes()
    weights = sum(
        parameter.nbytes
        for network in model.backend.networks[:2]
        for parameter in network.parameters()
    )
    rng = np.random.default_rng(arguments.seed)
    images = rng.integers(0, 256, (3, 1, 256, 256, 3), dtype=np.uint8)
    goal, _warm_up = model.encode(images[0])[0], model.encode(images[1])
    encoding = perf_counter()
    embedding = model.encode(images[2])[0]
    encoded = perf_counter()
    planner = make_planner(
        'cem',
        num_samples=arguments.samples,
        num_iterations=arguments.iterations,
        num_elites=max(2, arguments.samples // 4),
        horizon=arguments.horizon,
    )
    controller = ModelPredictiveController(model, planner, arguments.seed)
    observation = Observation(embedding=embedding, state=np.array(STATE))
    planning = perf_counter()
    plan = controller.plan(observation, Goal(embedding=goal))
    return {
        'precision': precision,
        'weights_gb': weights / GB,
        'imports_gb': before / GB,
        'peak_loading_gb': loading_peak / GB,
        'peak_gb': peak_bytes() / GB,
        'load_seconds': loaded - start,
        'encode_seconds': encoded - encoding,
        'plan_seconds': perf_counter() - planning,
        'evaluations': plan.evaluations,
        'action': plan.actions[0].tolist(),
        'energy': plan.energy,
        'threads': torch.get_num_threads(),
    }


def peak_bytes() -> int:
    """Return the most memory that this process has had so far, as resident pages."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def run_stage(stage: str, arguments: argparse.Namespace, checkpoint: Path, precision: str) -> str:
    """Run one stage in a process of its own and return what it printed.

    This process stays small and never imports torch: the peak of a child begins at its parent's.
    """
    command = [sys.executable, __file__, '--stage', stage, '--checkpoint', str(checkpoint)]
    command += ['--precision', precision]
    for name in ('samples', 'iterations', 'horizon', 'threads', 'seed'):
        if (value := getattr(arguments, name)) is not None:
            command += [f'--{name}', str(value)]
    command += ['--trial'] if arguments.trial else []
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def checkpoint_of(arguments: argparse.Namespace) -> Iterator[Path]:
    """Give the file to measure, made for the occasion unless there is one."""
    if arguments.checkpoint is not None:
        yield arguments.checkpoint
        return
    free = shutil.disk_usage(arguments.folder).free
    if free < FILE_BYTES and not arguments.trial:
        raise SystemExit(
            f'full_size: {arguments.folder} has {free / GB:.1f} GB free, the file needs '
            f'{FILE_BYTES / GB:.1f}. Give another --folder.'
        )
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix='vjepa-full-size-') as folder:
        path = Path(folder) / 'vjepa2-ac-vitg.pt'
        run_stage('write', arguments, path, arguments.precision[0])
        yield path


def print_table(about: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Print one line per precision."""
    print(
        f'file {about["file_gb"]:.2f} GB; {about["cores"]} cores, {results[0]["threads"]} '
        f'threads, load before the start {about["load_before"]:.1f}; '
        f'{results[0]["evaluations"]} rollouts per plan'
    )
    print('precision  weights  peak loading  peak overall  load s  encode s  plan s')
    for result in results:
        print(
            f'{result["precision"]:9}  {result["weights_gb"]:4.2f} GB  '
            f'{result["peak_loading_gb"]:9.2f} GB  {result["peak_gb"]:9.2f} GB  '
            f'{result["load_seconds"]:6.1f}  {result["encode_seconds"]:8.2f}  '
            f'{result["plan_seconds"]:6.1f}'
        )


def main() -> int:
    """Measure and report."""
    arguments = parse_arguments()
    if arguments.stage == 'write':
        write(arguments)
        return 0
    if arguments.stage == 'measure':
        from vjepa_planner import VjepaPlannerError

        try:
            print(json.dumps(measure(arguments)))
        except VjepaPlannerError as error:
            print(f'full_size: {error}', file=sys.stderr)
            return 2
        return 0
    about: dict[str, Any] = {
        'processor': platform.processor() or platform.machine(),
        'cores': os.cpu_count(),
        'load_before': os.getloadavg()[0],
        'python': platform.python_version(),
    }
    results = []
    try:
        with checkpoint_of(arguments) as path:
            about['file_gb'] = path.stat().st_size / GB
            for precision in arguments.precision:
                print(f'{precision}: loading, encoding, planning ...', file=sys.stderr, flush=True)
                results.append(json.loads(run_stage('measure', arguments, path, precision)))
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1  # the stage has said why
    print_table(about, results)
    if arguments.json is not None:
        content = {'machine': about, 'results': results}
        arguments.json.write_text(json.dumps(content, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
