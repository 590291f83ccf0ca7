# SPDX-License-Identifier: Apache-2.0
"""The gripper read off the tokens of the hand: only they count, and it can be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks.untrained import make_untrained_networks
from vjepa_planner.training.dynamics import DynamicsConfig
from vjepa_planner.training.hand_read_out import HandReadOut
from vjepa_planner.training.loop import Intervals
from vjepa_planner.training.train_encoder import train_encoder

ROWS, COLUMNS, WIDTH = 3, 4, 16


def test_only_the_tokens_around_the_place_count() -> None:
    torch.manual_seed(0)
    module = HandReadOut(WIDTH, ROWS, COLUMNS)
    place = torch.tensor([[2.4, 0.7]])  # column, row
    tokens = torch.randn(1, ROWS * COLUMNS, WIDTH, requires_grad=True)
    module(tokens, place).sum().backward()
    assert tokens.grad is not None
    used = {divmod(int(i), COLUMNS) for i in tokens.grad[0].abs().sum(-1).nonzero()[:, 0]}
    assert used == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_a_place_outside_the_image_takes_the_nearest_tokens() -> None:
    module = HandReadOut(WIDTH, ROWS, COLUMNS)
    tokens = torch.randn(2, 5, ROWS * COLUMNS, WIDTH)
    far = torch.tensor([-9.0, 50.0]).expand(2, 5, 2)
    assert module(tokens, far).shape == (2, 5)
    assert torch.isfinite(module(tokens, far)).all()


def test_training_with_known_places_reads_the_hand_and_without_them_does_not(
    tiny_episodes: Episodes, tmp_path: Path
) -> None:
    sizes = {'img_size': 32, 'patch_size': 16, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
    config = {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 32}}

    def centre(states: np.ndarray) -> np.ndarray:
        return np.full((*states.shape[:-1], 2), 16.0)

    for name, locate in (('with', centre), ('without', None)):
        networks = make_untrained_networks(config, seed=0)
        training = DynamicsConfig(steps=2, batch_size=2)
        run = train_encoder(
            tiny_episodes,
            networks.encoder.train().requires_grad_(True),
            networks.predictor.train().requires_grad_(True),
            training,
            tmp_path / name,
            Intervals(log=1),
            locate=locate,
        )
        assert [step for step, _ in run][-1] == 2
        assert ('"hand"' in (tmp_path / name / 'log.jsonl').read_text()) == (name == 'with')
