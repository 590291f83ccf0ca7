# SPDX-License-Identifier: Apache-2.0
"""Images out of files."""

from __future__ import annotations

from pathlib import Path
import zlib

import cv2
import numpy as np
import pytest

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.media import FootageEndError, open_footage, read_image


def write_video(path: Path, frames: int = 12, codec: str = 'MJPG') -> Path:
    """Write a video whose frame k is red of brightness 20 k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10.0, (64, 48))
    if not writer.isOpened():
        pytest.skip(f'this OpenCV cannot write {codec} videos')
    for index in range(frames):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2] = 20 * index  # OpenCV's order is blue, green, red
        writer.write(image)
    writer.release()
    return path


def write_pictures(folder: Path, names: list[str]) -> list[Path]:
    """Write pictures; the k-th is red of brightness 20 k."""
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2] = 20 * index
        cv2.imwrite(str(folder / name), image)
    return [folder / name for name in names]


def test_an_image_is_read_as_rgb_whatever_its_kind(tmp_path: Path) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes blue, green, red
    cv2.imwrite(str(tmp_path / 'red.png'), red)
    assert read_image(tmp_path / 'red.png')[3, 3].tolist() == [200, 0, 0]
    with_alpha = np.dstack([red, np.full((16, 16), 128, np.uint8)])
    cv2.imwrite(str(tmp_path / 'alpha.png'), with_alpha)
    assert read_image(tmp_path / 'alpha.png').shape == (16, 16, 3)
    cv2.imwrite(str(tmp_path / 'grey.png'), red[..., 2])
    assert read_image(tmp_path / 'grey.png')[3, 3].tolist() == [200, 200, 200]


def test_a_picture_of_more_pixels_than_opencv_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'large.png'
    cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, 'big') * 2  # width and height
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match='cannot be read as an image'):
        read_image(path)


@pytest.mark.parametrize(('name', 'codec'), [('film.avi', 'MJPG'), ('film.mp4', 'mp4v')])
def test_chosen_frames_of_a_video_come_as_rgb(tmp_path: Path, name: str, codec: str) -> None:
    footage = open_footage([write_video(tmp_path / name, codec=codec)])
    assert footage.count is None
    assert footage.rate == pytest.approx(10.0)
    for _ in range(2):  # a footage can be read again
        frames = list(footage.take([1, 4, 11]))
        assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
        colours = np.array([frame.reshape(-1, 3).mean(axis=0) for frame in frames])
        np.testing.assert_allclose(colours[:, 0], [20, 80, 220], atol=8)
        np.testing.assert_allclose(colours[:, 1:], 0, atol=8)


def test_frames_are_decoded_only_when_they_are_asked_for(tmp_path: Path) -> None:
    frames = open_footage([write_video(tmp_path / 'film.avi')]).take([0, 99])
    assert next(frames).shape == (48, 64, 3)  # the missing one has not been looked for yet
    with pytest.raises(FootageEndError, match='has 12 frames; there is no frame 99') as caught:
        next(frames)
    assert caught.value.count == 12


def test_the_pictures_of_a_directory_are_sorted_by_number(tmp_path: Path) -> None:
    write_pictures(tmp_path / 'shots', ['shot_9.png', 'shot_10.JPG', 'shot_11.png'])
    (tmp_path / 'shots' / 'notes.txt').write_text('not a picture')
    footage = open_footage([tmp_path / 'shots'])
    assert (footage.count, footage.rate) == (3, None)
    red = [int(frame[5, 5, 0]) for frame in footage.take([0, 1, 2])]
    np.testing.assert_allclose(red, [0, 20, 40], atol=4)
    with pytest.raises(FootageEndError, match='has 3 frames'):
        list(footage.take([3]))


def test_picture_files_keep_the_order_given(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path, ['a.png', 'b.png', 'c.png'])
    footage = open_footage(paths[::-1])
    assert [int(frame[5, 5, 0]) for frame in footage.take([0, 2])] == [40, 0]


def test_what_is_neither_pictures_nor_a_video_is_refused_in_words(tmp_path: Path) -> None:
    picture = write_pictures(tmp_path, ['a.png'])[0]
    text, empty, broken = tmp_path / 'text.mp4', tmp_path / 'empty.mp4', tmp_path / 'broken.avi'
    text.write_text('not a video')
    empty.touch()
    broken.write_bytes(write_video(tmp_path / 'film.avi').read_bytes()[:60])
    nothing = tmp_path / 'nothing'
    nothing.mkdir()
    for paths, said in (
        ([tmp_path / 'absent.mp4'], 'no file or directory at'),
        ([nothing], 'no pictures'),
        ([text], 'cannot be opened as a video'),
        ([empty], 'cannot be opened as a video'),
        ([broken], 'cannot be opened as a video'),
        ([picture, text], f'{text} is not a picture'),
        ([picture, nothing], f'{nothing} is not a picture'),
    ):
        with pytest.raises(InvalidInputError, match=said):
            open_footage(paths)


def test_a_picture_that_cannot_be_read_is_named_when_it_is_taken(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path, ['a.png', 'b.png'])
    paths[1].write_text('not a picture')
    with pytest.raises(InvalidInputError, match=r'b\.png cannot be read as an image'):
        list(open_footage(paths).take([0, 1]))
