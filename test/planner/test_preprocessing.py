# SPDX-License-Identifier: Apache-2.0
"""Images to clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.preprocessing import (
    CROPS,
    EvaluationPreprocessor,
    ImagePreprocessor,
    make_preprocessor,
    PREPROCESSINGS,
)

FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures/preprocessing/official.npz'

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope='module')
def official_views():
    with np.load(FIXTURES) as file:
        return dict(file)


def _image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_of_the_right_size_is_only_normalised():
    image = _image(64, 64)
    clip = ImagePreprocessor(64)(image[None])[0]
    expected = ((image / 255 - MEAN) / STD).transpose(2, 0, 1)
    assert clip.dtype == np.float32
    np.testing.assert_allclose(clip[:, 0], expected, atol=1e-5)


def test_the_still_image_fills_the_tubelet():
    clip = ImagePreprocessor(32)(_image(32, 32)[None])
    assert clip.shape == (1, 3, 2, 32, 32)
    np.testing.assert_array_equal(clip[:, :, 0], clip[:, :, 1])
    assert ImagePreprocessor(32, frames=4)(_image(32, 32)[None]).shape == (1, 3, 4, 32, 32)


def test_colours_stay_in_the_order_red_green_blue():
    red = np.zeros((32, 32, 3), dtype=np.uint8)
    red[..., 0] = 255
    clip = ImagePreprocessor(32)(red[None])[0]
    np.testing.assert_allclose(clip[:, 0, 0, 0], (np.array([1, 0, 0]) - MEAN) / STD, atol=1e-5)


@pytest.mark.parametrize(
    ('shape', 'crop', 'size', 'box'),
    [
        ((720, 1280), 'square', 256, (0, 280, 720, 720)),
        ((480, 640), 'square', 256, (0, 80, 480, 480)),
        ((640, 481), 'square', 256, (79, 0, 481, 481)),
        ((480, 640), 'square', (64, 96), (26, 0, 427, 640)),
        ((480, 640), 'squash', 256, (0, 0, 480, 640)),
        ((720, 1280), 'squash', 256, (0, 154, 720, 972)),
        ((517, 333), 'squash', 256, (36, 0, 444, 333)),
        ((480, 640), 'squash', (64, 96), (0, 0, 480, 640)),
        ((720, 1600), 'squash', (64, 96), (0, 71, 720, 1458)),
        ((1, 5), 'squash', 256, (0, 2, 1, 1)),
    ],
)
def test_the_crop_is_centred_and_as_wide_as_its_name_allows(shape, crop, size, box):
    assert ImagePreprocessor(size, crop).crop_box(*shape) == box


@pytest.mark.parametrize('crop', CROPS)
@pytest.mark.parametrize('name', ['wide', 'tall', 'small'])
def test_what_planning_sees_is_what_the_official_transform_makes(official_views, name, crop):
    clips = ImagePreprocessor(16, crop)(official_views[f'{name}_frames'][:1])
    np.testing.assert_allclose(clips[0, :, 0], official_views[f'{name}_{crop}'], atol=1e-5)


@pytest.mark.parametrize('name', ['wide', 'tall', 'small'])
def test_what_features_are_made_of_is_what_the_official_evaluation_makes(official_views, name):
    clip = EvaluationPreprocessor(16).clip(official_views[f'{name}_frames'])
    expected = official_views[f'{name}_evaluation']
    assert clip.shape == (1, *expected.shape)
    np.testing.assert_allclose(clip[0], expected, atol=1e-6)


@pytest.mark.parametrize('shape', [(100, 150), (150, 100), (50, 60), (128, 128)])
@pytest.mark.parametrize('crop', CROPS)
def test_resizing_is_bilinear_with_half_pixel_centres_and_without_smoothing(shape, crop):
    torch = pytest.importorskip('torch')
    image = _image(*shape)
    preprocessor = ImagePreprocessor((64, 64), crop)
    top, left, height, width = preprocessor.crop_box(*shape)
    part = torch.from_numpy(image[top : top + height, left : left + width]).permute(2, 0, 1)
    resized = torch.nn.functional.interpolate(
        part[None].float(), size=(64, 64), mode='bilinear', align_corners=False
    )[0].numpy()
    expected = (resized - 255 * MEAN[:, None, None]) / (255 * STD[:, None, None])
    np.testing.assert_allclose(preprocessor(image[None])[0, :, 0], expected, atol=2e-5)


def test_each_image_of_a_batch_is_treated_by_itself():
    images = np.stack([_image(50, 70, seed) for seed in range(3)])
    preprocessor = ImagePreprocessor(32)
    together = preprocessor(images)
    np.testing.assert_array_equal(together[1:2], preprocessor(images[1:2]))


@pytest.mark.parametrize(
    'images',
    [
        np.zeros((64, 64, 3), dtype=np.uint8),
        np.zeros((1, 64, 64, 4), dtype=np.uint8),
        np.zeros((1, 64, 64, 3), dtype=np.float32),
        np.zeros((0, 64, 64, 3), dtype=np.uint8),
        'image.png',
    ],
)
def test_anything_but_a_batch_of_rgb_images_is_refused(images):
    with pytest.raises(InvalidInputError):
        ImagePreprocessor(64)(images)


def test_an_unknown_crop_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInputError, match='square, squash'):
        ImagePreprocessor(64, 'circle')


def test_an_evaluation_view_is_the_centre_of_a_slightly_larger_image():
    image = np.zeros((292, 400, 3), dtype=np.uint8)  # needs no resizing for 256 px
    image[18:274, 72:328] = 255
    white = EvaluationPreprocessor(256).clip([image])[0]
    np.testing.assert_array_equal(white, np.broadcast_to(white[:, :1, :1, :1], white.shape))
    assert white.min() > 2


def test_an_evaluation_view_that_is_not_square_covers_its_size():
    wide = EvaluationPreprocessor((32, 64)).clip([_image(100, 100)])
    assert wide.shape == (1, 3, 1, 32, 64)
    assert EvaluationPreprocessor((64, 32)).clip([_image(90, 200)]).shape == (1, 3, 1, 64, 32)


@pytest.mark.parametrize('name', PREPROCESSINGS)
def test_a_clip_takes_images_one_by_one_in_their_order(name):
    images = [_image(50, 70, seed) for seed in range(3)]
    preprocessor = make_preprocessor(name, 32)
    clip = preprocessor.clip(iter(images))
    assert clip.shape == (1, 3, 3, 32, 32)
    assert clip.dtype == np.float32
    for index, image in enumerate(images):
        expected = preprocessor.normalised(image).transpose(2, 0, 1)
        np.testing.assert_array_equal(clip[0, :, index], expected)


def test_a_clip_of_different_sizes_or_of_nothing_is_refused():
    preprocessor = EvaluationPreprocessor(32)
    with pytest.raises(InvalidInputError, match='image 1 has shape'):
        preprocessor.clip([_image(50, 70), _image(50, 71)])
    with pytest.raises(InvalidInputError, match='at least one image'):
        preprocessor.clip([])
    with pytest.raises(InvalidInputError, match='must have shape'):
        preprocessor.clip([_image(50, 70)[..., 0]])


def test_an_unknown_preprocessing_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInputError, match='evaluation, square, squash'):
        make_preprocessor('imagenet', 64)
