# SPDX-License-Identifier: Apache-2.0
"""``vjepa collect``: episodes from the simulator."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'collect',
        help='record episodes of exploration in the simulator',
        description='Record episodes for training: the arm explores, everything is seeded, and '
        'a second call with the same options goes on where the first one stopped.',
    )
    parser.add_argument('--out', type=Path, required=True, help='directory for the episodes')
    parser.add_argument('--episodes', type=int, default=3000, help='(default: %(default)s)')
    parser.add_argument(
        '--frames', type=int, default=10, help='images per episode (default: %(default)s)'
    )
    parser.add_argument(
        '--exploration',
        default='reach',
        help='what the arm does: reach (random places), or objects (reach, approach, grasp and '
        'miss, carry, drop and put down cup and box) (default: %(default)s)',
    )
    parser.add_argument(
        '--renderer',
        default='ray',
        help='camera: ray, gl (needs OpenGL), or both, each episode by one of the two '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        default=256,
        metavar='PIXELS',
        help='side of the images (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the first episode (default: %(default)s)'
    )
    parser.add_argument(
        '--processes', type=int, default=os.cpu_count() or 1, help='(default: one per core)'
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from tqdm import tqdm

    from vjepa_planner.data.collect import collect, CollectConfig

    config = CollectConfig(
        episodes=options.episodes,
        frames=options.frames,
        seed=options.seed,
        exploration=options.exploration,
        renderer=options.renderer,
        image_size=options.image_size,
    )
    progress = collect(config, options.out, options.processes)
    there_already = next(progress)  # also raises what is wrong, before a bar is in the way
    with tqdm(total=config.episodes, initial=there_already, unit='episode', desc='collect') as bar:
        for finished in progress:
            bar.update(finished - bar.n)
    return 0
