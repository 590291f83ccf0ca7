# SPDX-License-Identifier: Apache-2.0
"""``vjepa energy``: the energy landscape around the present state."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TYPE_CHECKING

from vjepa_planner.cli.options import (
    add_crop_option,
    add_json_option,
    add_model_options,
    load_chosen_model,
    write_json,
)
from vjepa_planner.cli.scene import add_scene_options, read_scene
from vjepa_planner.cli.waiting import waiting

if TYPE_CHECKING:
    from vjepa_planner.cli.scene import Scene
    from vjepa_planner.landscape import ActionGrid, EnergyLandscape
    from vjepa_planner.world_model import WorldModel


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'energy',
        help='the energy landscape: a table and a plot',
        description='Predict where every displacement of a grid leads in one step and compare it '
        'with the goal, as the official notebook energy_landscape_example does. Leaves the plot '
        '(energy.png) and the table (energies.npy: dx dy dz [m], rotation [rad], change of '
        'closedness, energy). A model that understands its actions has one valley, and the true '
        'action lies in it.',
    )
    add_scene_options(parser)
    parser.add_argument(
        '--points', type=int, default=5, help='grid points on each axis (default: %(default)s)'
    )
    parser.add_argument(
        '--reach',
        type=float,
        default=0.075,
        help='largest displacement along each axis [m] (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('out/energy'),
        metavar='DIRECTORY',
        help='directory for the results (default: %(default)s)',
    )
    add_model_options(parser)
    add_crop_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    import numpy as np

    from vjepa_planner.landscape import ActionGrid
    from vjepa_planner.landscape_plot import draw_landscape

    scene = read_scene(options)
    grid = ActionGrid.cube(options.points, options.reach)
    options.out.mkdir(parents=True, exist_ok=True)
    world_model = load_chosen_model(options, options.crop)
    landscape, results = _measure(world_model, scene, grid)
    np.save(options.out / 'energies.npy', landscape.table)
    title = f'{world_model.config.name}: energy after one action, {results["now"]:.4f} before'
    draw_landscape(landscape, scene.true_action, title).savefig(
        options.out / 'energy.png', dpi=120
    )
    _print(results)
    print(f'written  {options.out / "energy.png"}, energies.npy')
    write_json(options.json, {**results, 'table': landscape.table.tolist()})
    return 0


def _measure(
    world_model: WorldModel, scene: Scene, grid: ActionGrid
) -> tuple[EnergyLandscape, dict[str, Any]]:
    """Return the landscape, and what is said about it."""
    from tqdm import tqdm

    from vjepa_planner.landscape import measure_landscape

    images = (scene.observation.image, scene.goal.image)
    with waiting('encoding'):
        now, goal = (world_model.encode(image[None])[0] for image in images if image is not None)
    state = scene.observation.state
    total = len(grid.actions)
    with tqdm(total=total, unit='action', desc='energy', leave=False, delay=1) as progress:
        landscape = measure_landscape(world_model, now, state, goal, grid, progress.update)
    action, lowest = landscape.lowest
    results: dict[str, Any] = {
        'model': world_model.config.name,
        'actions': total,
        'now': float(world_model.energy(now, goal)),
        'lowest': {'energy': lowest, 'action': action.tolist()},
        'highest': float(landscape.energies.max()),
    }
    if scene.true_action is not None:
        true = scene.true_action
        energy = float(world_model.candidate_energies(now, state, true[None, None], goal)[0])
        results['true'] = {
            'energy': energy,
            'action': true.tolist(),
            'rank': landscape.rank(energy),
        }
    return landscape, results


def _print(results: dict[str, Any]) -> None:
    lowest, count = results['lowest'], results['actions']
    print(f'now      {results["now"]:.4f}')
    print(f'grid     {lowest["energy"]:.4f} .. {results["highest"]:.4f} after {count} actions')
    print(f'lowest   {_after(lowest)}')
    if true := results.get('true'):
        print(f'true     {_after(true)}; {true["rank"] - 1} of {count} are lower')


def _after(result: dict[str, Any]) -> str:
    displacement = ' '.join(f'{value:+.3f}' for value in result['action'][:3])
    return f'{result["energy"]:.4f} after dx dy dz = {displacement} m'
