# SPDX-License-Identifier: Apache-2.0
"""Draw what the planner searches: the energy that each displacement in x and y would lead to.

    python examples/04_energy_landscape.py --seed 3

A model that understands its actions has one valley, and the goal lies in it.
"""

from __future__ import annotations

import argparse

import numpy as np

from vjepa_planner import load_world_model
from vjepa_planner.evaluation import ReachTask
from vjepa_planner.landscape import ActionGrid, measure_landscape
from vjepa_planner.simulation import FrankaSimulation

SHADES = '@%#*+=-:. '  # from the lowest energy to the highest


def main() -> None:
    """Print the energies of a grid of actions as a picture of characters."""
    parser = argparse.ArgumentParser(description='Draw the energy of displacements in x and y.')
    parser.add_argument('--model', default='franka-sim', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the scene (default: %(default)s)')
    parser.add_argument('--size', type=int, default=17, help='grid points (default: %(default)s)')
    parser.add_argument(
        '--reach', type=float, default=0.16, help='largest displacement [m] (default: %(default)s)'
    )
    arguments = parser.parse_args()

    world_model = load_world_model(arguments.model)
    simulation = FrankaSimulation()
    goal = ReachTask().start(simulation, arguments.seed)
    observation = simulation.observe()
    assert observation.image is not None
    now, wanted = world_model.encode(np.stack([observation.image, goal.image]))

    there = goal.position - observation.state[:3]
    steps = np.linspace(-arguments.reach, arguments.reach, arguments.size)
    height = np.clip(there[2:], -arguments.reach, arguments.reach)
    landscape = measure_landscape(
        world_model, now, observation.state, wanted, ActionGrid(dx=steps, dy=steps, dz=height)
    )
    simulation.close()

    grid = landscape.energies[:, :, 0]
    level = (grid - grid.min()) / max(np.ptp(grid), 1e-9) * (len(SHADES) - 1)
    goal_cell = [int(np.abs(steps - value).argmin()) for value in there[:2]]
    print(
        f'energy {grid.min():.4f} (@) .. {grid.max():.4f} (blank); dx downwards, dy to the right'
    )
    for row, line in enumerate(level.round().astype(int)):
        shades = [SHADES[value] * 2 for value in line]
        if row == goal_cell[0]:
            shades[goal_cell[1]] = 'GO'
        print(f'{steps[row]:+.3f} |{"".join(shades)}|')
    dx, dy = landscape.lowest[0][:2]
    print(f'lowest at dx dy = {dx:+.3f} {dy:+.3f} m', end=', ')
    print(f'the goal (GO) at {there[0]:+.3f} {there[1]:+.3f} m')


if __name__ == '__main__':
    main()
