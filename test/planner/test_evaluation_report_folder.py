# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for people to look at."""

from __future__ import annotations

import json
from pathlib import Path
import re

import cv2
import numpy as np
import pytest

pytest.importorskip('matplotlib')
pytest.importorskip('imageio_ffmpeg')

from vjepa_planner.evaluation import (
    Episode,
    EpisodeResult,
    EvaluationReport,
    SubGoalImage,
    TaskGoal,
)
from vjepa_planner.evaluation.episode_pictures import (
    episode_pictures,
    HEIGHT,
    WIDTH,
)
from vjepa_planner.evaluation.report_folder import ReportFolder
from vjepa_planner.media import open_footage
from vjepa_planner.video_file import VideoError, write_video

RED, GREEN, BLUE, GREY = ((230, 40, 40), (40, 200, 40), (40, 40, 230), (128, 128, 128))


def plain(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((32, 32, 3), color, np.uint8)


def make_episode(seed: int, success: bool) -> Episode:
    """Return three actions: two for a red goal, one for a green one; the camera sees blue."""
    result = EpisodeResult(
        seed=seed,
        success=success,
        distances=(0.3, 0.2, 0.1, 0.01),
        energies=(0.5, 0.4, 0.6),
        seconds=(0.1, 0.1, 0.1),
        sub_goals=(0, 0, 1),
    )
    sub_goals = SubGoalImage('near', plain(RED), 2), SubGoalImage('there', plain(GREEN), 1)
    images = (plain(BLUE),) * 3 + (plain(GREY),)
    return Episode(result, TaskGoal(sub_goals, np.zeros(3)), images)


def write_report(folder: Path, successes: list[bool], videos: int = 2) -> EvaluationReport:
    episodes = [make_episode(seed, success) for seed, success in enumerate(successes)]
    report_folder = ReportFolder(folder, videos)
    for episode in episodes:
        report_folder.add(episode)
    report = EvaluationReport(
        task='reach',
        model='tiny',
        planner='cem',
        results=[episode.result for episode in episodes],
    )
    report_folder.finish(report, {'vary': ['colors']})
    return report


def color_in_view(picture: np.ndarray, column: int) -> np.ndarray:
    """Return the mean colour in the middle of a view that begins at this column."""
    return picture[150:250, column + 100 : column + 200].mean(axis=(0, 1))


def test_a_report_has_table_curves_numbers_and_videos_of_both_outcomes(tmp_path: Path) -> None:
    report = write_report(tmp_path / 'new', [True, False, True, True, False, False])
    names = {path.name for path in (tmp_path / 'new').iterdir()}
    assert names == {
        'report.md', 'report.json', 'curves.png', 'success-0.mp4', 'success-2.mp4',
        'failure-1.mp4', 'failure-4.mp4',
    }  # fmt: skip
    text = (tmp_path / 'new' / 'report.md').read_text()
    assert text.startswith('# reach: 50% of 6 episodes')
    assert '19% .. 81%' in text  # Wilson
    linked = re.findall(r'\]\((.*?)\)', text)
    assert set(linked) == names - {'report.md', 'report.json'}
    judged = text.partition('## Episodes')[2]
    assert judged.count('| success |') == 3 == judged.count('| failure |')
    content = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert content == json.loads(json.dumps(report.to_json() | {'vary': ['colors']}))
    assert cv2.imread(str(tmp_path / 'new' / 'curves.png')).std() > 10.0


def test_a_report_without_failures_says_so(tmp_path: Path) -> None:
    write_report(tmp_path, [True], videos=0)
    assert '## Videos\n\nnone' in (tmp_path / 'report.md').read_text()
    assert not list(tmp_path.glob('*.mp4'))


def test_what_an_earlier_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    write_report(tmp_path, [False, False])
    (tmp_path / 'mine.mp4').touch()
    write_report(tmp_path, [True])
    assert {path.name for path in tmp_path.glob('*.mp4')} == {'success-0.mp4', 'mine.mp4'}


def test_a_picture_shows_the_camera_beside_the_goal_in_force() -> None:
    pictures = list(episode_pictures(make_episode(1, True), 'seed 1'))
    assert all(picture.shape == (HEIGHT, WIDTH, 3) for picture in pictures)
    goal_column = WIDTH // 2 + 8
    for index, (camera, goal) in enumerate(
        ((BLUE, RED), (BLUE, RED), (BLUE, GREEN), (GREY, GREEN))
    ):
        np.testing.assert_allclose(color_in_view(pictures[index], 16), camera, atol=2)
        np.testing.assert_allclose(color_in_view(pictures[index], goal_column), goal, atol=2)
    np.testing.assert_array_equal(pictures[3], pictures[-1])  # the end stays for a while
    failure = list(episode_pictures(make_episode(1, False), 'seed 1'))
    np.testing.assert_array_equal(failure[2], pictures[2])  # the verdict comes last
    assert not np.array_equal(failure[-1], pictures[-1])


def test_a_video_has_all_pictures(tmp_path: Path) -> None:
    pictures = [plain(color) for color in (RED, GREEN, BLUE)]
    write_video(tmp_path / 'film.mp4', pictures, 2.0)
    footage = open_footage([tmp_path / 'film.mp4'])
    assert footage.rate == pytest.approx(2.0)
    for picture, frame in zip(pictures, footage.take([0, 1, 2]), strict=True):
        assert np.abs(frame.astype(int) - picture).mean() < 6


def test_a_video_that_cannot_be_written_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match='No such file or directory'):
        write_video(tmp_path / 'missing' / 'film.mp4', [plain(RED)], 2.0)
