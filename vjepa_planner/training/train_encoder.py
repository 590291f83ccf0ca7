# SPDX-License-Identifier: Apache-2.0
"""Train an encoder: masked, as published, or by dynamics, as the shipped model was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import ACPredictor, Encoder, MaskedPredictor
from vjepa_planner.training.dynamics import DynamicsConfig, DynamicsStage
from vjepa_planner.training.hand_read_out import Locate
from vjepa_planner.training.loop import Intervals, Progress, Stage, train
from vjepa_planner.training.masked import MaskedConfig, MaskedStage
from vjepa_planner.training.processes import Processes


def train_encoder(
    episodes: Episodes,
    encoder: Encoder,
    predictor: MaskedPredictor | ACPredictor,
    config: MaskedConfig | DynamicsConfig,
    directory: Path,
    intervals: Intervals = Intervals(),  # noqa: B008 - it is frozen
    processes: Processes = Processes(),  # noqa: B008
    locate: Locate | None = None,
) -> Iterator[Progress]:
    """Train, or go on with an interrupted run; see :func:`vjepa_planner.training.loop.train`.

    Args:
        episodes: What to train on; the last 5 % are held out for the probe.
        encoder: Where to start from; it is changed.
        predictor: Likewise; a masked one for a ``MaskedConfig``, otherwise action-conditioned.
        config: How; its kind is the objective.
        directory: Where the run is kept.
        intervals: How often to log, evaluate and save.
        processes: Those that train together.
        locate: Where the hand is in the images, if that is known; of use to a ``DynamicsConfig``.

    Yields:
        The step, and a line about how it goes, after every step.

    Raises:
        InvalidInputError: There are too few episodes or frames, or the directory holds another
            run.
        DivergedError: The loss is no longer finite.
        StoppedError: The encoder has collapsed, or the loss rises.
    """
    stage: Stage
    if isinstance(config, MaskedConfig):
        assert isinstance(predictor, MaskedPredictor)
        stage = MaskedStage(episodes, encoder, predictor, config, processes)
    else:
        assert isinstance(predictor, ACPredictor)
        stage = DynamicsStage(episodes, encoder, predictor, config, processes, locate)
    yield from train(stage, config, directory, intervals, processes)
