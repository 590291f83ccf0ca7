# SPDX-License-Identifier: Apache-2.0
"""Options of ``vjepa train``, and what their defaults are for each recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vjepa_planner.cli.options import add_crop_option

PUBLISHED, SIMULATOR = 'published', 'simulator'


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vjepa train encoder``."""
    parser.add_argument(
        '--recipe',
        choices=(PUBLISHED, SIMULATOR),
        default=PUBLISHED,
        help='published: the masked pre-training of V-JEPA 2, for varied video; simulator: next '
        'embedding and inverse dynamics, which made models/franka-sim and also works where hardly '
        'anything moves (default: %(default)s)',
    )
    _add_common(
        parser,
        steps='20000; simulator: 4300',
        batch_size='32; simulator: 14',
        learning_rate='5.25e-4, as published; simulator: 8e-4',
        export='last',
    )
    parser.add_argument(
        '--image-size', type=int, metavar='PIXELS', help='(default: that of the episodes)'
    )
    size = parser.add_argument_group('where to start')
    size.add_argument(
        '--model', help='weights to start from: official, Hugging Face or own (default: none)'
    )
    _add_architecture(size, 'encoder and predictor')
    size.add_argument(
        '--patch-size',
        type=int,
        default=16,
        metavar='PIXELS',
        help='side of what becomes one token (default: %(default)s)',
    )
    size.add_argument(
        '--stem',
        choices=('patch', 'convolutional'),
        default='patch',
        help='how pixels become tokens: by one map of each patch, as published, or by small '
        'convolutions, with which small encoders see small things (default: %(default)s)',
    )
    size.add_argument('--width', type=int, default=192, help='(default: %(default)s)')
    size.add_argument('--depth', type=int, default=6, help='(default: %(default)s)')
    _add_predictor_size(size, width=128, depth=4)
    masked = parser.add_argument_group('recipe "published"')
    masked.add_argument(
        '--frames',
        type=int,
        help='of a clip (default: 16, as published, or what the episodes have)',
    )
    masked.add_argument(
        '--momentum',
        type=float,
        default=0.99925,
        help='share of the target encoder that stays at every step; short runs want less, such '
        'as 0.996 (default: %(default)s, as published)',
    )


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vjepa train predictor``."""
    parser.add_argument(
        '--model',
        required=True,
        help='the encoder, which stays as it is, and the predictor to start from: a name, an '
        'official file, or a directory',
    )
    parser.add_argument(
        '--recipe',
        choices=(PUBLISHED, SIMULATOR),
        default=PUBLISHED,
        help='published: loss and schedule of V-JEPA 2-AC; simulator: those of models/franka-sim '
        '(windows of 3 frames, random colours, cosine decay) (default: %(default)s)',
    )
    _add_common(
        parser,
        steps='10000; simulator: 2500',
        batch_size='32; published: 256',
        learning_rate='4.25e-4, as published, and a tenth of it to fine-tune; simulator: 5e-4',
        export='best; simulator: last',
    )
    parser.add_argument(
        '--frames',
        type=int,
        help='of a window (default: 8, as published, or what the episodes have; simulator: 3)',
    )
    parser.add_argument(
        '--rollout-weight',
        type=float,
        metavar='WEIGHT',
        help='of the rollout loss beside teacher forcing; 0: without (default: 1, as published)',
    )
    parser.add_argument(
        '--gripper-share',
        type=float,
        metavar='SHARE',
        help='share of the windows drawn among those in which the gripper is asked to move, for '
        'episodes with few grasps (default: 0, as published; simulator: 0.4)',
    )
    parser.add_argument(
        '--memory',
        type=float,
        default=4.0,
        metavar='GIB',
        help='features of the encoder that do not fit go to a file in OUT (default: %(default)s)',
    )
    size = parser.add_argument_group('a new predictor')
    size.add_argument(
        '--scratch',
        action='store_true',
        help='do not start from the predictor of the model (default where it has none)',
    )
    _add_architecture(size, 'predictor')
    _add_predictor_size(size, width=128, depth=4)
    camera = parser.add_argument_group('what goes with the model')
    camera.add_argument(
        '--ee-frame',
        help='frame that the states of the episodes are of (default: what the model says)',
    )


def _add_common(
    parser: argparse.ArgumentParser,
    *,
    steps: str,
    batch_size: str,
    learning_rate: str,
    export: str,
) -> None:
    parser.add_argument(
        '--data',
        type=Path,
        required=True,
        help='dataset: of "vjepa collect", "vjepa data convert", the recorder, or LeRobot',
    )
    parser.add_argument('--out', type=Path, required=True, help='directory of the run')
    parser.add_argument(
        '--piece',
        type=int,
        metavar='FRAMES',
        help='cut episodes into pieces of so many frames; needed where they differ in length '
        '(default: whole episodes)',
    )
    add_crop_option(parser)
    parser.add_argument('--steps', type=int, help=f'in all (default: {steps})')
    parser.add_argument(
        '--batch-size', type=int, help=f'over all processes (default: {batch_size})'
    )
    parser.add_argument(
        '--learning-rate', type=float, help=f'the largest (default: {learning_rate})'
    )
    parser.add_argument(
        '--gradient-norm',
        type=float,
        default=1.0,
        help='longer gradients are shortened to this (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument(
        '--device',
        default='auto',
        help='auto, cpu, cuda; each process of torchrun takes a GPU (default: %(default)s)',
    )
    parser.add_argument(
        '--float32', action='store_true', help='no bfloat16; faster on CPUs that lack it'
    )
    parser.add_argument(
        '--recompute',
        action='store_true',
        help='compute activations again instead of keeping them: slower, for large networks on '
        'small GPUs',
    )
    parser.add_argument(
        '--export', choices=('last', 'best'), help=f'weights of OUT/model (default: {export})'
    )
    run = parser.add_argument_group('beside training')
    run.add_argument('--log-every', type=int, default=50, help='steps (default: %(default)s)')
    run.add_argument(
        '--evaluate-every',
        type=int,
        default=500,
        help='steps between evaluations on held-out episodes (default: %(default)s)',
    )
    run.add_argument(
        '--save-every',
        type=int,
        default=200,
        help='steps between savings of the state (default: %(default)s)',
    )
    run.add_argument(
        '--keep-going',
        action='store_true',
        help='only warn where a run that collapses or diverges would be stopped',
    )


def _add_architecture(group: argparse._ArgumentGroup, what: str) -> None:
    group.add_argument(
        '--architecture',
        metavar='NAME',
        help=f'published sizes of {what}, such as vjepa2-vitl or vjepa2-ac-vitg, instead of '
        'those below',
    )


def _add_predictor_size(group: argparse._ArgumentGroup, width: int, depth: int) -> None:
    group.add_argument('--predictor-width', type=int, default=width, help='(default: %(default)s)')
    group.add_argument('--predictor-depth', type=int, default=depth, help='(default: %(default)s)')


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that were given, so that the others get the defaults of the recipe."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
