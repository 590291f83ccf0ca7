# SPDX-License-Identifier: Apache-2.0
"""``vjepa train encoder`` and ``vjepa train predictor``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path
from typing import Any, TYPE_CHECKING

from vjepa_planner.cli.train_options import (
    add_encoder_options,
    add_predictor_options,
    given,
    PUBLISHED,
    SIMULATOR,
)
from vjepa_planner.errors import InvalidInputError

if TYPE_CHECKING:
    from vjepa_planner.data.episodes import Episodes
    from vjepa_planner.training.dynamics import DynamicsConfig
    from vjepa_planner.training.hand_read_out import Locate
    from vjepa_planner.training.loop import Intervals
    from vjepa_planner.training.masked import MaskedConfig
    from vjepa_planner.training.processes import Processes
    from vjepa_planner.training.starting import Sizes, Start
    from vjepa_planner.training.train_predictor import PredictorTrainingConfig

_EPILOGUE = """
An interrupted run, also one that was killed, goes on when called again with the same options.
OUT has log.jsonl, curves.png, state.pt (the last), best.pt, and at the end the model: OUT/model.
Several GPUs: torchrun --nproc-per-node 4 --no-python vjepa train ...
docs/training.md has the tutorials.
"""
_FRAMES = {'encoder': 16, 'predictor': 8}  # of V-JEPA 2 and 2-AC
_FINE_TUNING = 0.1  # of the published learning rate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its two parts."""
    parser = commands.add_parser(
        'train',
        help='train an encoder, then a predictor, on episodes',
        description='Train V-JEPA 2 on your episodes. Most start with "vjepa train predictor": it '
        'fine-tunes V-JEPA 2-AC, or trains a new predictor on a published encoder. An encoder of '
        'your own is for other images than those of cameras in rooms, or for small machines.',
    )
    parts = parser.add_subparsers(dest='part', required=True, metavar='encoder|predictor')
    encoder = parts.add_parser(
        'encoder',
        help='train encoder and predictor together',
        description='Train an encoder on episodes.',
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_encoder_options(encoder)
    encoder.set_defaults(run=run_encoder)
    predictor = parts.add_parser(
        'predictor',
        help='train a predictor on a frozen encoder',
        description='Train the action-conditioned predictor of a model, or a new one, on the '
        'embeddings of its frozen encoder: teacher forcing and a two-step rollout.',
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_predictor_options(predictor)
    predictor.set_defaults(run=run_predictor)


def run_encoder(options: argparse.Namespace) -> int:
    """Run ``vjepa train encoder``."""
    from vjepa_planner.data.episodes import load_episodes
    from vjepa_planner.model_files import find_model
    from vjepa_planner.training.export import export_model, SIMULATOR_SETTINGS
    from vjepa_planner.training.processes import started_processes
    from vjepa_planner.training.starting import start_encoder_training
    from vjepa_planner.training.train_encoder import train_encoder

    episodes = load_episodes(
        options.data,
        frames=options.piece,
        image_size=options.image_size,
        **given(options, 'crop'),
    )
    height, width = episodes.images.shape[2:4]
    config = _encoder_config(options, episodes)
    start = start_encoder_training(
        _sizes(options),
        None if options.model is None else find_model(options.model),
        (height, width),
        getattr(config, 'frames', 2),
        masked=options.recipe == PUBLISHED,
        seed=options.seed,
    )
    with started_processes(options.device) as processes:
        progress = train_encoder(
            episodes,
            start.encoder,
            start.predictor,
            config,
            options.out,
            _intervals(options),
            processes,
            _locate(options, height),
        )
        _show(progress, config.steps, processes)
        if processes.is_main:
            settings = {**SIMULATOR_SETTINGS, **start.settings, **given(options, 'crop')}
            history = _history(start, 'encoder', config, episodes)
            step = export_model(
                options.out,
                start.encoder.cpu(),
                start.predictor.cpu(),
                {**settings, 'training': history},
                options.export or 'last',
            )
            print(f'model: {options.out / "model"} (step {step})')
    return 0


def run_predictor(options: argparse.Namespace) -> int:
    """Run ``vjepa train predictor``."""
    from vjepa_planner.data.episodes import load_episodes
    from vjepa_planner.model_files import find_model
    from vjepa_planner.networks import ACPredictor
    from vjepa_planner.training.export import export_model
    from vjepa_planner.training.processes import started_processes
    from vjepa_planner.training.starting import start_predictor_training
    from vjepa_planner.training.train_predictor import train_predictor

    _check_data(options.data)  # before weights are read, which takes longer
    start = start_predictor_training(
        find_model(options.model), _sizes(options), scratch=options.scratch, seed=options.seed
    )
    settings = {**start.settings, **given(options, 'crop', 'ee_frame')}
    episodes = load_episodes(
        options.data,
        frames=options.piece,
        image_size=start.encoder.config.img_size[0],
        crop=settings['crop'],
    )
    config = _predictor_config(options, episodes, start)
    assert isinstance(start.predictor, ACPredictor)
    with started_processes(options.device) as processes:
        progress = train_predictor(
            episodes,
            start.encoder,
            start.predictor,
            config,
            options.out,
            _intervals(options),
            processes,
            options.memory,
        )
        _show(progress, config.steps, processes)
        if processes.is_main:
            history = _history(start, 'predictor', config, episodes)
            step = export_model(
                options.out,
                start.encoder.cpu(),
                start.predictor.cpu(),
                {**settings, 'training': history},
                options.export or ('last' if options.recipe == SIMULATOR else 'best'),
            )
            print(f'model: {options.out / "model"} (step {step})')
    return 0


def _check_data(path: Path) -> None:
    if not path.is_dir():
        raise InvalidInputError(
            f'no episodes in {path}. Make some with: vjepa collect --out {path}, or from '
            'recordings of yours with: vjepa data convert'
        )


def _encoder_config(
    options: argparse.Namespace, episodes: Episodes
) -> MaskedConfig | DynamicsConfig:
    from vjepa_planner.training.dynamics import DynamicsConfig
    from vjepa_planner.training.masked import MaskedConfig

    if options.recipe == SIMULATOR:
        return DynamicsConfig(**_optimiser(options))
    length = episodes.images.shape[1]
    frames = options.frames or min(_FRAMES['encoder'], length - length % 2)
    return MaskedConfig(**_optimiser(options), frames=frames, momentum=options.momentum)


def _locate(options: argparse.Namespace, size: int) -> Locate | None:
    """Return where the hand is in images of the simulator, whose camera is known."""
    from vjepa_planner.data.dataset import is_dataset, open_dataset

    if options.recipe != SIMULATOR or not is_dataset(options.data):
        return None
    episodes = open_dataset(options.data).episodes
    if any(episode.facts.get('source') != 'simulator' for episode in episodes):
        return None
    from vjepa_planner.simulation.camera import CameraPose

    camera = CameraPose()
    return lambda states: camera.project(states[..., :3], size)


def _predictor_config(
    options: argparse.Namespace, episodes: Episodes, start: Start
) -> PredictorTrainingConfig:
    from vjepa_planner.training.train_predictor import (
        PredictorTrainingConfig,
        simulator_config,
    )

    if options.recipe == SIMULATOR:
        changes = given(options, 'frames', 'gripper_share', 'rollout_weight')
        return simulator_config(**_optimiser(options), **changes)
    frames = options.frames or max(3, min(_FRAMES['predictor'], episodes.images.shape[1]))
    settings = _optimiser(options) | given(options, 'gripper_share', 'rollout_weight')
    if start.loaded:
        settings.setdefault('learning_rate', _FINE_TUNING * PredictorTrainingConfig.learning_rate)
    return PredictorTrainingConfig(**settings, frames=frames)


def _optimiser(options: argparse.Namespace) -> dict[str, Any]:
    settings = given(options, 'steps', 'batch_size', 'learning_rate', 'gradient_norm', 'seed')
    return {**settings, 'bfloat16': not options.float32, 'recompute': options.recompute}


def _sizes(options: argparse.Namespace) -> Sizes:
    from vjepa_planner.training.starting import Sizes

    names = tuple(item.name for item in fields(Sizes))
    return Sizes(**{n: getattr(options, n) for n in names if hasattr(options, n)})


def _intervals(options: argparse.Namespace) -> Intervals:
    from vjepa_planner.training.loop import Intervals

    return Intervals(
        log=options.log_every,
        evaluate=options.evaluate_every,
        save=options.save_every,
        keep_going=options.keep_going,
    )


def _history(
    start: Start,
    part: str,
    config: MaskedConfig | DynamicsConfig | PredictorTrainingConfig,
    episodes: Episodes,
) -> Mapping[str, object]:
    """Return how the model was trained, for the record."""
    before = start.settings.get('training', {})
    return {**before, part: {**asdict(config), 'episodes': len(episodes)}}


def _show(progress: Iterator[tuple[int, str]], steps: int, processes: Processes) -> None:
    """Show a progress bar with the latest line, and warnings above it."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    # Also raises what is wrong, before a bar is in the way. None: the run is finished already.
    first = next(progress, None)
    taken = steps if first is None else first[0]
    with (
        tqdm(total=steps, initial=taken, unit='step', disable=not processes.is_main) as bar,
        logging_redirect_tqdm(),
    ):
        for step, line in chain([first] if first else [], progress):
            bar.update(step - bar.n)
            bar.set_postfix_str(line)
