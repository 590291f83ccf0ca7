# SPDX-License-Identifier: Apache-2.0
"""The networks that a training starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vjepa_planner.errors import UnknownNameError
from vjepa_planner.networks import ACPredictor, load_networks, MaskedPredictor
from vjepa_planner.networks.architectures import ARCHITECTURES
from vjepa_planner.training.starting import (
    Sizes,
    start_encoder_training,
    start_predictor_training,
)

SMALL = Sizes(width=64, depth=2, predictor_width=64, predictor_depth=1)


def test_sizes_are_taken_by_number_with_heads_of_64() -> None:
    sizes = Sizes(width=192, depth=6, predictor_width=128, predictor_depth=4)
    encoder = sizes.encoder((128, 128), 2)
    assert (encoder.embed_dim, encoder.depth, encoder.num_heads) == (192, 6, 3)
    assert (encoder.img_size, encoder.num_frames) == ((128, 128), 2)
    predictor = sizes.ac_predictor(encoder)
    assert (predictor.embed_dim, predictor.predictor_embed_dim) == (192, 128)
    assert (predictor.depth, predictor.num_heads) == (4, 2)
    assert sizes.masked_predictor(encoder).predictor_embed_dim == 128


def test_sizes_are_taken_by_name_at_the_resolution_of_the_data() -> None:
    sizes = Sizes(architecture='vjepa2-vitg')
    encoder = sizes.encoder((128, 128), 16)
    published = ARCHITECTURES['vjepa2-vitg']
    assert (encoder.embed_dim, encoder.depth, encoder.num_heads) == (1408, 40, 22)
    assert encoder.mlp_ratio == published.encoder.mlp_ratio
    assert encoder.img_size == (128, 128)
    masked = sizes.masked_predictor(encoder)
    assert (masked.embed_dim, masked.predictor_embed_dim, masked.depth) == (1408, 384, 12)
    assert masked.img_size == (128, 128)
    action = Sizes(architecture='vjepa2-ac-droid').ac_predictor(encoder)
    assert (action.predictor_embed_dim, action.depth, action.use_state) == (1024, 24, False)
    assert Sizes(architecture='vjepa2-vitl').ac_predictor(encoder).predictor_embed_dim == 1024


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match='vjepa2-vitg'):
        Sizes(architecture='vjepa2-vitx').encoder((64, 64), 2)


def test_new_networks_follow_the_seed_and_leave_the_global_one_alone() -> None:
    def start(seed: int) -> torch.Tensor:
        state = torch.get_rng_state()
        begun = start_encoder_training(SMALL, None, (32, 32), 4, masked=True, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        assert isinstance(begun.predictor, MaskedPredictor)
        assert not begun.loaded
        return begun.encoder.patch_embed.proj.weight

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


def test_an_official_checkpoint_is_pre_trained_further_at_another_resolution(
    official: object,
) -> None:
    path: Path = official.pretraining_checkpoint  # type: ignore[attr-defined]
    begun = start_encoder_training(SMALL, path, (64, 64), 8, masked=True, seed=0)
    loaded = load_networks(path)
    assert begun.loaded
    assert isinstance(begun.predictor, MaskedPredictor)
    assert begun.encoder.config.img_size == begun.predictor.config.img_size == (64, 64)
    for mine, theirs in ((begun.encoder, loaded.encoder), (begun.predictor, loaded.predictor)):
        assert theirs is not None
        assert mine.training
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], tensor)


def test_an_official_predictor_is_fine_tuned_with_its_crop_and_frame(official: object) -> None:
    path: Path = official.ac_checkpoint  # type: ignore[attr-defined]
    begun = start_predictor_training(path, SMALL, scratch=False, seed=0)
    assert begun.loaded
    assert begun.settings['crop'] == 'squash'
    assert begun.settings['ee_frame'] == 'fr3_link8'
    assert begun.predictor.training
    assert not begun.encoder.training


@pytest.mark.parametrize('which', ['ac_checkpoint', 'pretraining_checkpoint'])
def test_a_new_predictor_fits_the_encoder_of_any_checkpoint(official: object, which: str) -> None:
    path: Path = getattr(official, which)
    begun = start_predictor_training(path, SMALL, scratch=True, seed=0)
    assert isinstance(begun.predictor, ACPredictor)
    assert not begun.loaded
    assert begun.predictor.config.predictor_embed_dim == 64
    assert begun.predictor.config.embed_dim == begun.encoder.config.embed_dim


def test_a_model_directory_passes_on_its_planner_and_history(
    tiny_model: Path,
) -> None:
    begun = start_predictor_training(tiny_model, SMALL, scratch=False, seed=0)
    assert begun.settings['planner']['num_samples'] == 8
    assert begun.settings['ee_frame'] == 'fr3_hand_tcp'
