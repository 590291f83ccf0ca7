# SPDX-License-Identifier: Apache-2.0
"""``vjepa encode``: features of a video or of images."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
import time
from typing import TYPE_CHECKING

from vjepa_planner.cli.frames import add_frame_options, choose_frames, read_clip
from vjepa_planner.cli.options import (
    add_json_option,
    add_model_options,
    load_chosen_model,
    write_json,
)
from vjepa_planner.cli.waiting import waiting

if TYPE_CHECKING:
    from vjepa_planner.types import FloatArray

_SUFFIXES = ('.npy', '.safetensors')


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from vjepa_planner.preprocessing import PREPROCESSINGS

    parser = commands.add_parser(
        'encode',
        help='features of a video or of images',
        description='Write what the encoder makes of a clip: an array (1, tokens, width), '
        '(1, 8192, 1024) for 64 frames through ViT-L at 256 px. Of a video, every second frame is '
        'taken until there are 64, as in the official example; of images, every one. A single '
        'image is encoded as a still.',
    )
    add_frame_options(parser)
    parser.add_argument(
        '--preprocessing',
        choices=PREPROCESSINGS,
        default='evaluation',
        help='evaluation: as the official feature extraction; square or squash: the croppings of '
        'V-JEPA 2-AC, as for planning (default: %(default)s)',
    )
    parser.add_argument(
        '--layer-norm',
        action='store_true',
        help='normalise each token as planning does, without affine',
    )
    parser.add_argument(
        '--out',
        type=_features_file,
        default=Path('features.npy'),
        metavar='FILE',
        help='.npy, or .safetensors with the key "features" (default: %(default)s)',
    )
    add_model_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.backends.base import layer_normalised
    from vjepa_planner.media import open_footage
    from vjepa_planner.preprocessing import make_preprocessor

    write = _feature_writer(options.out)
    footage = open_footage(options.input)
    indices = choose_frames(footage, options)
    world_model = load_chosen_model(options)
    preprocessor = make_preprocessor(options.preprocessing, world_model.config.image_size)
    clip = read_clip(footage, indices, preprocessor, world_model.backend.config['encoder'])
    _print_clip(footage.name, indices)
    start = time.perf_counter()
    with waiting(f'encoding on {world_model.backend.device}'):
        features = world_model.backend.features(clip)
    seconds = time.perf_counter() - start
    if options.layer_norm:
        features = layer_normalised(features)
    write(features)
    mean, deviation = float(features.mean()), float(features.std())
    print(f'features  {features.shape} float32, {seconds:.1f} s on {world_model.backend.device}')
    print(f'          mean {mean:.4f}, standard deviation {deviation:.4f}')
    print(f'written   {options.out}')
    results = {
        'frames': indices,
        'preprocessing': options.preprocessing,
        'layer_norm': options.layer_norm,
        'model': world_model.config.name,
        'clip_shape': clip.shape,
        'shape': features.shape,
        'mean': mean,
        'standard_deviation': deviation,
        'seconds': seconds,
        'out': str(options.out),
    }
    write_json(options.json, results)
    return 0


def _print_clip(name: str, indices: Sequence[int]) -> None:
    """Say which frames were taken, before the encoder takes its time."""
    numbers = [str(index) for index in indices]
    if len(numbers) > 6:
        numbers[3:-1] = ['...']
    print(f'frames    {len(indices)} of {name}: {" ".join(numbers)}', flush=True)


def _features_file(text: str) -> Path:
    path = Path(text)
    if path.suffix not in _SUFFIXES or path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} must be a file ending in .npy or .safetensors')
    return path


def _feature_writer(path: Path) -> Callable[[FloatArray], None]:
    """Return what writes features there; a missing package shows before the work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    import numpy as np

    if path.suffix == '.npy':
        return partial(np.save, path)
    from safetensors.numpy import save_file

    # It writes what lies in memory, whatever the strides are.
    return lambda features: save_file({'features': np.ascontiguousarray(features)}, path)
