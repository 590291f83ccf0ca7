# SPDX-License-Identifier: Apache-2.0
"""A run as people look at it: a table, curves, and videos of successes and failures."""

from __future__ import annotations

from collections import Counter
import json
from pathlib import Path

from vjepa_planner.evaluation.energy_plot import plot_energies
from vjepa_planner.evaluation.episode_pictures import episode_pictures, PICTURE_RATE
from vjepa_planner.evaluation.report import EvaluationReport
from vjepa_planner.evaluation.run import Episode
from vjepa_planner.video_file import write_video

REPORT, NUMBERS, CURVES = 'report.md', 'report.json', 'curves.png'


class ReportFolder:
    """Writes videos while episodes come in, and the rest when all are there."""

    def __init__(self, folder: Path, videos: int) -> None:
        """Make the folder and remove what an earlier run left in it.

        Args:
            folder: Where everything goes.
            videos: Of successes, and as many of failures, at most.
        """
        self._folder, self._limit = folder, videos
        self._videos: list[str] = []
        self._counts: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in (REPORT, NUMBERS, CURVES, 'success-*.mp4', 'failure-*.mp4'):
            for path in folder.glob(pattern):
                path.unlink()

    def add(self, episode: Episode) -> None:
        """Write the video of an episode, unless there are enough of its kind.

        Raises:
            VideoError: It cannot be written.
            MissingDependencyError: imageio-ffmpeg is not installed.
        """
        kind = 'success' if episode.result.success else 'failure'
        if self._counts[kind] >= self._limit:
            return
        self._counts[kind] += 1
        seed = episode.result.seed
        name = f'{kind}-{seed}.mp4'
        write_video(self._folder / name, episode_pictures(episode, f'seed {seed}'), PICTURE_RATE)
        self._videos.append(name)

    def finish(self, report: EvaluationReport, about: dict[str, object]) -> None:
        """Write the table, the curves and all numbers.

        Args:
            report: Of all episodes.
            about: How the run was made, JSON-ready.
        """
        plot_energies(self._folder / CURVES, report)
        content = json.dumps(report.to_json() | about, indent=1)
        (self._folder / NUMBERS).write_text(content + '\n')
        (self._folder / REPORT).write_text(self._markdown(report, about))

    def _markdown(self, report: EvaluationReport, about: dict[str, object]) -> str:
        settings = '\n'.join(f'- {name}: `{json.dumps(value)}`' for name, value in about.items())
        episodes = '\n'.join(
            f'| {result.seed} | {"success" if result.success else "failure"} '
            f'| {result.final_distance * 100:.1f} | {result.energies[-1]:.3f} |'
            for result in report.results
        )
        videos = '\n'.join(f'- [{name}]({name})' for name in sorted(self._videos))
        return (
            f'# {report.task}: {report.success_rate:.0%} of {len(report.results)} episodes\n\n'
            f'{report.to_markdown()}\n\n{settings}\n\n'
            f'![energy and distance over the actions]({CURVES})\n\n'
            f'## Videos\n\n{videos or "none"}\n\n'
            '## Episodes\n\n| seed | judged | final distance [cm] | last energy |\n'
            f'|---|---|---|---|\n{episodes}\n'
        )
