# SPDX-License-Identifier: Apache-2.0
"""What the probe says about encoders that see and encoders that do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import Encoder, EncoderConfig
from vjepa_planner.training.probe import embed_episodes, probe_encoder


@dataclass(frozen=True, kw_only=True)
class EpisodesWithObjects(Episodes):
    objects: npt.NDArray[np.float32]


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    sizes = {'img_size': (32, 32), 'num_frames': 2, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
    return Encoder(EncoderConfig(**sizes)).eval()


def blind(encoder: Encoder) -> Encoder:
    with torch.no_grad():
        for parameter in encoder.patch_embed.parameters():
            parameter.zero_()
    return encoder


@pytest.fixture(scope='module')
def bright_episodes() -> Episodes:
    """Eighty episodes whose first coordinate is the brightness of the image."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0, 1, (80, 4)).astype(np.float32)
    images = np.empty((80, 4, 32, 32, 3), np.uint8)
    images[:] = (255 * level)[..., None, None, None]
    states = np.zeros((80, 4, 7), np.float32)
    states[..., 0] = level
    return Episodes(images=images, states=states, seeds=np.arange(80))


def test_what_can_be_seen_is_read_out_and_beats_the_mean(
    encoder: Encoder, bright_episodes: Episodes
) -> None:
    report = probe_encoder(encoder, bright_episodes)
    assert report.trusted
    assert report.mean_errors[0] == pytest.approx(12**-0.5, rel=0.3)  # of an even distribution
    assert report.distance_error < 0.5 * report.mean_errors[0]


def test_a_blind_encoder_is_no_better_than_the_mean_and_does_not_vary(
    encoder: Encoder, bright_episodes: Episodes
) -> None:
    report = probe_encoder(blind(encoder), bright_episodes)
    assert report.distance_error == pytest.approx(report.mean_errors[0], rel=0.02)
    assert report.temporal_std == pytest.approx(0, abs=1e-6)
    assert report.token_std == pytest.approx(0, abs=1e-6)


def test_tokens_that_differ_between_episodes_only_vary_over_samples_but_not_over_time(
    encoder: Encoder, bright_episodes: Episodes
) -> None:
    still = Episodes(
        images=np.repeat(bright_episodes.images[:, :1], 4, axis=1),
        states=bright_episodes.states,
        seeds=bright_episodes.seeds,
    )
    report = probe_encoder(encoder, still)
    assert report.temporal_std == pytest.approx(0, abs=1e-6)
    assert report.token_std > 0.05


def test_a_probe_on_few_frames_is_not_trusted(encoder: Encoder, tiny_episodes: Episodes) -> None:
    assert not probe_encoder(encoder, tiny_episodes).trusted


def test_positions_of_objects_are_probed_where_episodes_carry_them(
    encoder: Encoder, bright_episodes: Episodes
) -> None:
    assert 'probe_object' not in probe_encoder(encoder, bright_episodes).numbers()
    objects = np.repeat(bright_episodes.states[..., None, :1], 2, axis=2)  # (80, 4, 2, 1)
    numbers = probe_encoder(
        encoder,
        EpisodesWithObjects(
            images=bright_episodes.images,
            states=bright_episodes.states,
            seeds=bright_episodes.seeds,
            objects=objects,
        ),
    ).numbers()
    assert numbers['probe_object'] == pytest.approx(numbers['probe_x'], rel=1e-3)
    assert numbers['probe_object'] < 0.5 * numbers['probe_object_mean']


def test_embeddings_are_the_same_whatever_they_are_batched_with(
    encoder: Encoder, tiny_episodes: Episodes
) -> None:
    together = embed_episodes(encoder, tiny_episodes)
    one_by_one = embed_episodes(encoder, tiny_episodes, rows_per_batch=1)
    assert together.shape == (10, 4, 4, 32)
    assert together.dtype == torch.float16
    torch.testing.assert_close(together, one_by_one, atol=2e-3, rtol=0)
