# SPDX-License-Identifier: Apache-2.0
"""``vjepa train encoder`` and ``vjepa train predictor``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
import json
from pathlib import Path

_HEAD_DIM = 64


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its two parts."""
    parser = commands.add_parser('train', help='train an encoder, then a predictor, on episodes')
    parts = parser.add_subparsers(dest='part', required=True, metavar='encoder|predictor')
    encoder = parts.add_parser(
        'encoder',
        help='train encoder and predictor together',
        description='Train an encoder, and a predictor that keeps its embeddings predictable. '
        'An interrupted run goes on when called again. The model appears in OUT/model.',
    )
    _add_common(encoder, steps=4300, batch_size=14, learning_rate=8e-4)
    encoder.add_argument('--width', type=int, default=192, help='(default: %(default)s)')
    encoder.add_argument('--depth', type=int, default=6, help='(default: %(default)s)')
    encoder.add_argument('--predictor-width', type=int, default=128, help='(default: %(default)s)')
    encoder.add_argument('--predictor-depth', type=int, default=4, help='(default: %(default)s)')
    encoder.set_defaults(run=run_encoder)
    predictor = parts.add_parser(
        'predictor',
        help='train a predictor on a frozen encoder',
        description='Train the action-conditioned predictor of a model further, on embeddings of '
        'its frozen encoder: teacher forcing and a two-step rollout. The model appears in '
        'OUT/model.',
    )
    _add_common(predictor, steps=2500, batch_size=32, learning_rate=5e-4)
    predictor.add_argument(
        '--model', required=True, help='model directory with the encoder and the first predictor'
    )
    predictor.set_defaults(run=run_predictor)


def _add_common(
    parser: argparse.ArgumentParser, steps: int, batch_size: int, learning_rate: float
) -> None:
    parser.add_argument('--data', type=Path, required=True, help='directory of "vjepa collect"')
    parser.add_argument('--out', type=Path, required=True, help='directory of the run')
    parser.add_argument('--steps', type=int, default=steps, help='(default: %(default)s)')
    parser.add_argument(
        '--batch-size', type=int, default=batch_size, help='(default: %(default)s)'
    )
    parser.add_argument(
        '--learning-rate', type=float, default=learning_rate, help='(default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument(
        '--float32', action='store_true', help='no bfloat16; faster on CPUs that lack it'
    )


def run_encoder(options: argparse.Namespace) -> int:
    """Run ``vjepa train encoder``."""
    from vjepa_planner.data.episodes import load_episodes
    from vjepa_planner.networks import ACPredictorConfig, EncoderConfig
    from vjepa_planner.training.export import export_model
    from vjepa_planner.training.train_encoder import EncoderTrainingConfig, train_encoder

    episodes = load_episodes(options.data)
    size = episodes.images.shape[2]
    encoder = EncoderConfig(
        img_size=(size, size),
        num_frames=2,
        embed_dim=options.width,
        depth=options.depth,
        num_heads=max(1, options.width // _HEAD_DIM),
    )
    predictor = ACPredictorConfig(
        img_size=(size, size),
        num_frames=2,
        embed_dim=options.width,
        predictor_embed_dim=options.predictor_width,
        depth=options.predictor_depth,
        num_heads=max(1, options.predictor_width // _HEAD_DIM),
    )
    config = EncoderTrainingConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        bfloat16=not options.float32,
    )
    _show(train_encoder(episodes, encoder, predictor, config, options.out), config.steps)
    export_model(
        options.out,
        encoder,
        predictor,
        {'encoder': asdict(config) | {'episodes': len(episodes)}},
    )
    print(f'model: {options.out / "model"}')
    return 0


def run_predictor(options: argparse.Namespace) -> int:
    """Run ``vjepa train predictor``."""
    from vjepa_planner.data.episodes import load_episodes
    from vjepa_planner.errors import CheckpointError
    from vjepa_planner.model_files import find_model
    from vjepa_planner.networks import ACPredictor, load_networks
    from vjepa_planner.training.export import export_model
    from vjepa_planner.training.train_predictor import PredictorTrainingConfig, train_predictor

    episodes = load_episodes(options.data)
    networks = load_networks(find_model(options.model))
    if not isinstance(networks.predictor, ACPredictor):
        raise CheckpointError(f'{options.model} has no action-conditioned predictor to train.')
    config = PredictorTrainingConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        bfloat16=not options.float32,
    )
    _show(
        train_predictor(episodes, networks.encoder, networks.predictor, config, options.out),
        config.steps,
    )
    history = json.loads(json.dumps(networks.config.get('training', {})))
    export_model(
        options.out,
        networks.encoder.config,
        networks.predictor.config,
        history | {'predictor': asdict(config) | {'episodes': len(episodes)}},
        encoder_weights=networks.encoder.state_dict(),
    )
    print(f'model: {options.out / "model"}')
    return 0


def _show(progress: Iterator[tuple[int, str]], steps: int) -> None:
    """Show a progress bar with the latest line."""
    from tqdm import tqdm

    # Also raises what is wrong, before a bar is in the way. None: the run is finished already.
    first = next(progress, None)
    taken = steps if first is None else first[0]
    with tqdm(total=steps, initial=taken, unit='step') as bar:
        for step, line in chain([first] if first else [], progress):
            bar.update(step - bar.n)
            bar.set_postfix_str(line)
