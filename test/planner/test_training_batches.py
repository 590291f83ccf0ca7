# SPDX-License-Identifier: Apache-2.0
"""From episodes to tensors, and the colours that training varies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import ImagePreprocessor
from vjepa_planner.training.augmentation import Crops, draw_crops, draw_jitter
from vjepa_planner.training.batches import (
    check_length,
    frames_to_clips,
    images_to_clips,
    load_frames,
    split_episodes,
)


def some_episodes(count: int, frames: int = 3) -> Episodes:
    rng = np.random.default_rng(0)
    return Episodes(
        images=rng.integers(0, 256, (count, frames, 16, 16, 3), dtype=np.uint8),
        states=rng.normal(size=(count, frames, 7)).astype(np.float32),
        seeds=np.arange(count),
    )


def test_training_clips_are_those_that_planning_makes() -> None:
    episodes = some_episodes(4)
    rows, frames = np.array([2, 0]), np.array([[0, 2], [1, 1]])
    clips = images_to_clips(load_frames(episodes, rows, frames))
    assert clips.shape == (2, 2, 3, 2, 16, 16)
    expected = ImagePreprocessor(16)(episodes.images[[2, 2, 0, 0], [0, 2, 1, 1]])
    np.testing.assert_allclose(clips.flatten(0, 1).numpy(), expected, atol=1e-5)


def test_a_clip_of_frames_has_their_colours_in_their_order() -> None:
    episodes = some_episodes(2)
    frames = load_frames(episodes, np.array([1]), np.array([[2, 0, 1, 1]]))
    clip = frames_to_clips(frames)
    assert clip.shape == (1, 3, 4, 16, 16)
    stills = images_to_clips(frames)  # (1, 4, 3, 2, 16, 16)
    torch.testing.assert_close(clip, stills[:, :, :, 0].transpose(1, 2), rtol=0, atol=0)


@pytest.mark.parametrize(('count', 'held_out'), [(2, 1), (10, 1), (100, 5)])
def test_the_last_episodes_are_held_out(count: int, held_out: int) -> None:
    split = split_episodes(some_episodes(count, frames=1))
    assert split.training.tolist() == list(range(count - held_out))
    assert split.validation.tolist() == list(range(count - held_out, count))


def test_too_few_episodes_or_frames_are_refused() -> None:
    with pytest.raises(InvalidInputError, match='at least 2 episodes'):
        split_episodes(some_episodes(1))
    check_length(some_episodes(2, frames=3), 3)
    with pytest.raises(InvalidInputError, match='at least 3 frames, these have 2'):
        check_length(some_episodes(2, frames=2), 3)


def test_colours_change_alike_in_all_frames_of_a_sample_and_otherwise_in_others() -> None:
    grey = torch.full((6, 3, 3, 8, 8), 0.5)
    varied = draw_jitter(grey.shape, torch.Generator().manual_seed(0))(grey)
    means = varied.mean(dim=(3, 4))  # over the image: the noise averages out
    torch.testing.assert_close(means, means[:, :1].expand_as(means), atol=0.006, rtol=0)
    assert means[:, 0].std(dim=0).min() > 0.02


def test_channels_are_swapped_in_about_half_of_the_samples() -> None:
    reddish = torch.zeros(60, 1, 3, 4, 4)
    reddish[:, :, 0] = 0.8
    jitter = draw_jitter(reddish.shape, torch.Generator().manual_seed(1))
    varied = jitter(reddish).mean(dim=(1, 3, 4))
    still_red = (varied.argmax(dim=1) == 0).float().mean().item()
    assert 0.5 < still_red < 0.85  # half kept, a third of the others by chance


def test_varied_colours_stay_in_range_and_follow_the_generator() -> None:
    images = torch.rand(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    first, again, other = (
        draw_jitter(images.shape, torch.Generator().manual_seed(seed))(images)
        for seed in (3, 3, 4)
    )
    assert first.min() >= 0
    assert first.max() <= 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def test_a_part_of_a_batch_gets_the_colours_and_croppings_that_it_has_in_the_whole() -> None:
    images = torch.rand(6, 2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    part = slice(2, 4)
    generator = torch.Generator().manual_seed(0)
    for change in (draw_jitter(images.shape, generator), draw_crops(6, (16, 16), generator)):
        whole = change(images)
        torch.testing.assert_close(change.part(part)(images[part]), whole[part], rtol=0, atol=0)


def test_croppings_cover_30_to_100_percent_and_stay_inside() -> None:
    crops = draw_crops(2000, (64, 64), torch.Generator().manual_seed(0))
    top, left, height, width = crops.boxes.T
    share = height * width / 64**2
    assert 0.28 < share.min() < 0.32
    assert 0.98 < share.max() <= 1
    ratio = width / height
    assert 0.7 < ratio.min() < 0.8
    assert 1.3 < ratio.max() < 1.42
    assert ((top >= 0) & (left >= 0) & (top + height <= 64) & (left + width <= 64)).all()
    assert 0.45 < crops.mirrored.float().mean() < 0.55


def test_a_cropping_shows_its_box_in_every_frame_mirrored_or_not() -> None:
    ramp = torch.arange(16.0).expand(2, 2, 3, 16, 16) / 15  # from left to right
    crops = draw_crops(2, (16, 16), torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0, 8, 8, 8], [0, 8, 8, 8]])
    shown = Crops(boxes, torch.tensor([False, True]))(ramp)
    assert crops(ramp).shape == shown.shape == ramp.shape
    assert shown[0].min() >= 8 / 15
    assert (shown[0, 0, 0, 0].diff() >= 0).all()
    torch.testing.assert_close(shown[1], shown[0].flip(-1))
    torch.testing.assert_close(shown[:, 0], shown[:, 1])
