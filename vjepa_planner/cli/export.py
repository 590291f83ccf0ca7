# SPDX-License-Identifier: Apache-2.0
"""``vjepa export``: graphs and engines of a model, and proof that they compute the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from vjepa_planner.cli.options import (
    add_json_option,
    add_model_option,
    add_precision_options,
    write_json,
)
from vjepa_planner.errors import InvalidInputError

_BACKENDS = ('onnxruntime', 'tensorrt')


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'export',
        help='prepare a model for ONNX Runtime or TensorRT, and compare it with torch',
        description='Export the graphs of a model, and for TensorRT build the engines of this '
        'GPU. Then compare it with torch on random inputs: largest error, cosine, and rank '
        'correlation of the energies of random actions. The exit code is 1 if a tolerance is '
        'missed. Without --out everything goes into the cache, where the backends find it.',
    )
    add_model_option(parser)
    parser.add_argument('--backend', choices=_BACKENDS, required=True, help='what for')
    add_precision_options(parser)
    parser.add_argument(
        '--horizon',
        type=int,
        default=2,
        help='longest action sequence that will be planned (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='write a model directory here that needs no torch, weights and graphs; the directory '
        'of the model itself puts the graphs beside its weights',
    )
    parser.add_argument(
        '--build-only', action='store_true', help='do not run and compare what was made'
    )
    parser.add_argument(
        '--candidates',
        type=int,
        default=256,
        help='random actions whose energies are compared (default: %(default)s)',
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.backends import backend_class
    from vjepa_planner.model_files import find_model

    if options.horizon < 1 or options.candidates < 2:
        raise InvalidInputError(
            f'--horizon must be at least 1 and --candidates at least 2, got {options.horizon} '
            f'and {options.candidates}.'
        )
    backend_class(options.backend)  # says what is missing before the work, not after it
    path = find_model(options.model)
    files = _export(path, options)
    for file in files:
        print(file)
    if options.build_only:
        write_json(options.json, {'files': [str(file) for file in files]})
        return 0
    return _compare(options.out or path, files, options)


def _export(path: Path, options: argparse.Namespace) -> list[Path]:
    """Export all graphs, build their engines, and return the files."""
    from tqdm import tqdm

    from vjepa_planner.backends.graphs import planning_graphs
    from vjepa_planner.backends.model_graphs import ModelGraphs, write_model_directory

    if options.out is not None and options.out.resolve() != path.resolve():
        write_model_directory(path, options.out)
        path = options.out
    graphs = ModelGraphs(path, options.precision, options.out)
    wanted = planning_graphs(graphs.config, options.horizon)
    files = [graphs.export(graph) for graph in tqdm(wanted, desc='export', unit='graph')]
    if options.backend == 'tensorrt':
        from vjepa_planner.backends.tensorrt_backend import TensorRTBackend

        engine = TensorRTBackend(graphs, options.device)
        files = [engine.build_only(graph) for graph in tqdm(wanted, desc='build', unit='engine')]
    return files


def _compare(path: Path, files: list[Path], options: argparse.Namespace) -> int:
    """Compare with torch, print and write the report, and return the exit status."""
    from tqdm import tqdm

    from vjepa_planner.export.parity import compare, HEADING, to_json, TOLERANCES
    from vjepa_planner.world_model import load_world_model

    engine = load_world_model(path, options.backend, options.device, precision=options.precision)
    # The CPU's float32 is what all parity is measured against; GPUs round it to TF32 at times.
    reference = load_world_model(path, 'torch', 'cpu')
    horizon = options.horizon if engine.can_plan else 0
    tolerances = TOLERANCES[options.precision]
    lines = compare(engine, reference, tolerances, horizon=horizon, candidates=options.candidates)
    comparisons = list(tqdm(lines, total=1 + 2 * horizon, desc='compare', unit='part'))
    print(f'{engine.backend.name} on {engine.backend.device} against torch, float32, CPU')
    print(HEADING)
    for comparison in comparisons:
        print(comparison)
    report = to_json(comparisons, tolerances)
    write_json(options.json, {**report, 'files': [str(file) for file in files]})
    return 0 if report['within'] else 1
