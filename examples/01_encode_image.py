# SPDX-License-Identifier: Apache-2.0
"""Encode images and compare them: the energy says how much two scenes differ to the model.

python examples/01_encode_image.py                       # three views of the simulator
python examples/01_encode_image.py now.png goal.png      # your own images
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vjepa_planner import load_world_model
from vjepa_planner.media import read_image
from vjepa_planner.simulation import FrankaSimulation
from vjepa_planner.types import Image


def simulated_views() -> dict[str, Image]:
    """Return pictures of one scene with the arm at three heights."""
    simulation = FrankaSimulation()
    views = {}
    for height in (0.10, 0.15, 0.30):
        simulation.place_end_effector([0.5, 0.0, height])
        views[f'{100 * height:.0f} cm'] = simulation.render()
    simulation.close()
    return views


def main() -> None:
    """Print the embeddings' shape and the energy between every two images."""
    parser = argparse.ArgumentParser(description='Encode images and compare them.')
    parser.add_argument('images', nargs='*', type=Path, help='image files; none: simulated ones')
    parser.add_argument('--model', default='franka-sim', help='default: %(default)s')
    arguments = parser.parse_args()

    world_model = load_world_model(arguments.model)
    images = {path.name: read_image(path) for path in arguments.images} or simulated_views()
    embeddings = np.stack([world_model.encode(image[None])[0] for image in images.values()])
    print(f'{len(images)} images -> embeddings (images, tokens, dim) = {embeddings.shape}')

    width = max(10, *(len(name) + 2 for name in images))
    print('energy'.ljust(width) + ''.join(name.rjust(width) for name in images))
    for name, embedding in zip(images, embeddings, strict=True):
        energies = world_model.energy(embeddings, embedding)
        print(name.ljust(width) + ''.join(f'{energy:{width}.4f}' for energy in energies))


if __name__ == '__main__':
    main()
