# SPDX-License-Identifier: Apache-2.0
"""What masked pre-training hides."""

from __future__ import annotations

import pytest
import torch

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.training.masks import block_size, Blocks, draw_mask, Mask, PUBLISHED_BLOCKS

GRID = (8, 16, 16)  # 16 frames of 256 px
SMALL, LARGE = PUBLISHED_BLOCKS


def draw(blocks: Blocks, batch: int = 24, seed: int = 0) -> Mask:
    return draw_mask(blocks, GRID, batch, torch.Generator().manual_seed(seed))


def hidden_images(blocks: Blocks, batch: int, seed: int) -> torch.Tensor:
    """Return what is hidden in the first image of each clip, (B, rows, columns)."""
    images = torch.zeros(batch, 8 * 256)
    images.scatter_(1, draw(blocks, batch, seed).target, 1.0)
    return images.view(batch, 8, 16, 16)[:, 0]


@pytest.mark.parametrize(
    ('scale', 'aspect', 'size'),
    # 0.15 of 256 patches are 38, 0.7 are 179.
    [(0.15, 1.0, (6, 6)), (0.15, 0.75, (5, 7)), (0.7, 1.0, (13, 13)), (0.7, 1.5, (16, 11))],
)
def test_a_block_has_the_size_of_its_share_and_aspect(
    scale: float, aspect: float, size: tuple[int, int]
) -> None:
    assert block_size((16, 16), scale, aspect) == size


def test_context_and_target_are_sorted_and_do_not_overlap() -> None:
    for blocks in PUBLISHED_BLOCKS:
        mask = draw(blocks)
        for context, target in zip(*mask, strict=True):
            assert (context.diff() > 0).all()
            assert (target.diff() > 0).all()
            assert not set(context.tolist()) & set(target.tolist())
            assert max(context.max(), target.max()) < 8 * 256


def test_one_clip_is_split_without_a_rest_into_tubes() -> None:
    for blocks in PUBLISHED_BLOCKS:
        mask = draw(blocks, batch=1)
        assert mask.context.shape[1] + mask.target.shape[1] == 8 * 256
        per_image = mask.target.view(8, -1) - 256 * torch.arange(8)[:, None]
        assert (per_image == per_image[0]).all()  # the same patches in all frames


def test_a_batch_is_cut_to_its_shortest_lists_from_the_end() -> None:
    for blocks in PUBLISHED_BLOCKS:
        generator = torch.Generator().manual_seed(3)
        mask = draw_mask(blocks, GRID, 24, generator)
        missing = 8 * 256 - mask.context.shape[1] - mask.target.shape[1]
        assert missing > 0
        # Nobody lost the first tokens: the lists are complete up to where the first one ends.
        for context, target in zip(*mask, strict=True):
            until = int(min(context[-1], target[-1])) + 1
            seen = sorted([*context.tolist(), *target.tolist()])
            assert seen[:until] == list(range(until))


def test_the_coverage_is_that_of_the_published_masks() -> None:
    """Shares over 400 batches of the official code: .247 and .065 seen, .472 and .704 hidden."""
    generator = torch.Generator().manual_seed(1)
    expected = {SMALL: (0.247, 0.472), LARGE: (0.065, 0.704)}
    for blocks, (context, target) in expected.items():
        masks = [draw_mask(blocks, GRID, 24, generator) for _ in range(150)]
        seen = torch.tensor([mask.context.shape[1] / 2048 for mask in masks]).mean()
        hidden = torch.tensor([mask.target.shape[1] / 2048 for mask in masks]).mean()
        assert seen == pytest.approx(context, abs=0.02)
        assert hidden == pytest.approx(target, abs=0.02)


def test_blocks_have_one_size_in_a_batch_and_other_places_in_each_clip() -> None:
    sizes, places = set(), set()
    for seed in range(4):
        images = hidden_images(Blocks(1, 0.15), 12, seed)
        boxes = [image.nonzero() for image in images]
        shapes = {tuple((box.max(0).values - box.min(0).values + 1).tolist()) for box in boxes}
        # The list of one block is as long in every clip, so nothing was cut off.
        assert len(shapes) == 1
        sizes |= shapes
        places |= {tuple(box[0].tolist()) for box in boxes}
    assert len(sizes) > 1
    assert len(places) > 10


def test_masks_follow_the_generator() -> None:
    first, again, other = (draw(SMALL, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.target, again.target)
    assert first.target.shape != other.target.shape or not torch.equal(first.target, other.target)


def test_something_is_left_to_see_where_two_blocks_often_hide_everything() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        mask = draw_mask(LARGE, (1, 4, 4), 16, generator)
        assert mask.context.shape[1] > 0


def test_a_part_of_a_mask_is_that_of_some_clips() -> None:
    mask = draw(SMALL)
    part = mask.part(slice(3, 5))
    assert torch.equal(part.context, mask.context[3:5])
    assert torch.equal(part.target, mask.target[3:5])


def test_images_of_one_patch_cannot_be_masked() -> None:
    with pytest.raises(InvalidInputError, match='more patches than 1 x 1'):
        draw_mask(SMALL, (2, 1, 1), 2, torch.Generator())
