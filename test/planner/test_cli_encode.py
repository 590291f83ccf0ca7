# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from argparse import Namespace
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip('torch')

from vjepa_planner.cli import main  # noqa: E402
from vjepa_planner.cli.frames import choose_frames, read_clip  # noqa: E402
from vjepa_planner.media import Footage, open_footage, read_image  # noqa: E402
from vjepa_planner.networks import load_networks  # noqa: E402
from vjepa_planner.preprocessing import EvaluationPreprocessor  # noqa: E402
from vjepa_planner.world_model import load_world_model  # noqa: E402


@pytest.fixture(scope='module')
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 frames that all differ, 30 a second."""
    path = tmp_path_factory.mktemp('film') / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 30.0, (80, 48))
    if not writer.isOpened():
        pytest.skip('this OpenCV cannot write MJPG videos')
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    for index in range(130):
        writer.write(cv2.resize(np.roll(noise, index, axis=1), (80, 48)))
    writer.release()
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / 'shots' / f'{index}.png' for index in range(4)]
    paths[0].parent.mkdir()
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (48, 80, 3), dtype=np.uint8))
    return paths


def encode(
    model: Path, folder: Path, *arguments: str | Path
) -> tuple[npt.NDArray[np.float32], dict[str, object]]:
    """Return the features and what was written beside them."""
    out, about = folder / 'new' / 'features.npy', folder / 'about.json'
    options = ['--model', model, '--device', 'cpu', '--out', out, '--json', about]
    assert main(['encode', *map(str, [*arguments, *options])]) == 0
    return np.load(out), json.loads(about.read_text())


def complaint(capsys: pytest.CaptureFixture[str], model: Path, *arguments: str | Path) -> str:
    """Run a command that must fail, and return the one line that it says."""
    assert main(['encode', *map(str, arguments), '--model', str(model)]) == 1
    output = capsys.readouterr()
    assert output.out == ''
    assert len(output.err.splitlines()) == 1
    return output.err


def test_a_video_gives_64_frames_every_second_one(
    film: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features, about = encode(tiny_model, tmp_path, film)
    assert about['frames'] == list(range(0, 128, 2))
    assert features.shape == (1, 32 * 4, 32)
    assert features.dtype == np.float32
    assert about['shape'] == [1, 128, 32]
    # Raw features of what the official evaluation transform sees, in its order.
    frames = list(open_footage([film]).take(range(0, 128, 2)))
    clip = EvaluationPreprocessor(32).clip(frames)
    expected = load_world_model(tiny_model, device='cpu').backend.features(clip)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert f'64 of {film}: 0 2 4 ... 126' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'frames'),
    [
        (['--frames', '4'], [0, 2, 4, 6]),
        (['--frames', '4', '--stride', '7', '--start', '3'], [3, 10, 17, 24]),
        (['--frames', '4', '--fps', '4'], [0, 7, 15, 22]),
        (['--frames', '1', '--start', '9'], [9]),
    ],
)
def test_other_frames_may_be_chosen(
    film: Path, tiny_model: Path, tmp_path: Path, options: list[str], frames: list[int]
) -> None:
    features, about = encode(tiny_model, tmp_path, film, *options)
    assert about['frames'] == frames
    assert features.shape == (1, 4 * max(1, len(frames) // 2), 32)


def test_pictures_are_taken_one_after_the_other(
    pictures: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    listed, about = encode(tiny_model, tmp_path, *pictures)
    assert about['frames'] == [0, 1, 2, 3]
    in_folder, _ = encode(tiny_model, tmp_path, pictures[0].parent)
    np.testing.assert_array_equal(listed, in_folder)
    reversed_, _ = encode(tiny_model, tmp_path, *pictures[::-1])
    assert np.abs(listed - reversed_).max() > 0.01


def test_a_still_can_be_encoded_as_planning_does(
    pictures: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    for crop in ('square', 'squash'):
        options = ['--preprocessing', crop, '--layer-norm']
        embedding, _ = encode(tiny_model, tmp_path, pictures[0], *options)
        world_model = load_world_model(tiny_model, device='cpu', crop=crop)
        expected = world_model.encode(read_image(pictures[0])[None])
        np.testing.assert_allclose(embedding, expected, atol=1e-5)


def test_an_encoder_with_patches_for_images_gets_the_still_once(pictures: list[Path]) -> None:
    footage, preprocessor = open_footage(pictures[:1]), EvaluationPreprocessor(32)
    repeated = read_clip(footage, [0], preprocessor, {'tubelet_size': 2})
    once = {'tubelet_size': 2, 'version': '2.1'}
    single = read_clip(footage, [0], preprocessor, once)
    assert (repeated.shape[2], single.shape[2]) == (2, 1)
    np.testing.assert_array_equal(repeated[:, :, 1:], single)


def test_version_2_1_sees_a_single_picture_as_an_image(
    pictures: list[Path], tmp_path: Path
) -> None:
    folder = Path(__file__).resolve().parents[1] / 'fixtures/networks_2_1_distilled'
    checkpoint = folder / 'vjepa2_1_tiny_official_layout.pt'
    features, about = encode(checkpoint, tmp_path, pictures[0])
    size = load_world_model(checkpoint, device='cpu').config.image_size
    image = EvaluationPreprocessor(size).clip([read_image(pictures[0])])
    assert image.shape[2] == about['clip_shape'][2] == 1
    encoder = load_networks(checkpoint).encoder
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(np.ascontiguousarray(image))).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_a_model_without_predictor_encodes(official, pictures: list[Path], tmp_path: Path) -> None:
    features, _ = encode(official.pretraining_checkpoint, tmp_path, *pictures)
    assert np.isfinite(features).all()
    assert features.shape[0] == 1


def test_features_are_written_as_safetensors(
    pictures: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    expected, _ = encode(tiny_model, tmp_path, *pictures)
    file = tmp_path / 'features.safetensors'
    arguments = ['encode', *map(str, pictures), '--model', str(tiny_model), '--out', str(file)]
    assert main(arguments) == 0
    np.testing.assert_allclose(load_file(file)['features'], expected, atol=1e-6)


def test_too_short_a_video_gets_a_line_that_says_what_to_do(
    film: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, tiny_model, film, '--stride', '5')
    assert 'has 130 frames; there is no frame 130' in said
    assert 'Use --frames 26' in said
    assert 'Use a smaller --start' in complaint(capsys, tiny_model, film, '--start', '129')


def test_numbers_out_of_range_get_one_clear_line(
    film: Path, pictures: list[Path], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        ([film, '--frames', '0'], '--frames must be at least 1, got 0'),
        ([film, '--stride', '0'], '--stride must be at least 1, got 0'),
        ([film, '--start', '-1'], '--start must be at least 0, got -1'),
        ([film, '--fps', '31'], '--fps must be positive and at most the 30'),
        ([film, '--fps', 'nan'], '--fps must be positive'),
        ([film, '--frames', '5'], 'a multiple of 2 frames, or one frame as a still; got 5'),
        ([*pictures[:3]], 'Use --frames 2.'),
        ([*pictures, '--fps', '4'], 'has no frame rate'),
        ([pictures[0], '--start', '3'], 'has 1 frame; there is no frame 3'),
    ):
        assert said in complaint(capsys, tiny_model, *arguments)


def test_pictures_of_different_sizes_get_one_clear_line(
    pictures: list[Path], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(pictures[2]), np.zeros((48, 64, 3), np.uint8))
    said = complaint(capsys, tiny_model, *pictures)
    assert 'image 2 has shape (48, 64, 3), those before it (48, 80, 3)' in said


class _Endless(Footage):
    """A video of any length."""

    name = 'endless'

    def take(self, indices):
        for index in indices:
            yield np.full((48, 80, 3), index, np.uint8)


def test_frames_are_counted_without_rounding_errors() -> None:
    footage = _Endless()
    footage.rate = 30.0
    options = Namespace(frames=40, stride=None, fps=10.0, start=0)
    assert choose_frames(footage, options) == list(range(0, 120, 3))
    footage.rate = 29.97
    options.fps = 4.0
    assert choose_frames(footage, options)[:5] == [0, 7, 14, 22, 29]
