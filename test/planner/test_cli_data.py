# SPDX-License-Identifier: Apache-2.0
"""From a user's recording to a dataset, with commands only."""

from __future__ import annotations

import json
from pathlib import Path

import made_recordings as made
import pytest

from vjepa_planner.cli import main
from vjepa_planner.data.dataset import open_dataset


def run(*arguments: str | Path) -> int:
    return main(['data', *map(str, arguments)])


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return made.write_bag(tmp_path / 'bag', made.make_motion())


def test_a_bag_is_converted_inspected_and_measured(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / 'set', tmp_path / 'report.json'
    arguments = ('convert', bag, '--out', out, '--step', '1.0', '--image-size', '64')
    assert run(*arguments, '--set', 'task="reach"', '--json', report) == 0
    shown = capsys.readouterr()
    assert f'1 episodes with 6 frames added to {out}' in shown.out
    assert '1/1' in shown.err
    assert json.loads(report.read_text())['frames'] == 6
    dataset = open_dataset(out)
    assert (dataset.step_duration, dataset.episodes[0].task) == (1.0, 'reach')
    assert dataset.features['observation.images.camera']['shape'] == [64, 64, 3]

    assert run('inspect', out, '--json', report) == 0
    shown = capsys.readouterr()
    assert 'episodes        1 of 1 recordings' in shown.out
    assert 'nothing looks wrong' in shown.out
    assert json.loads(report.read_text())['episodes'] == 1

    assert run('stats', out, '--json', report) == 0
    shown = capsys.readouterr()
    assert '5 steps of 1 s' in shown.out
    assert json.loads(report.read_text())['steps'] == 5


def test_warnings_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motion = made.make_motion()
    motion.states[:, :3] *= 1000
    made.write_ours(tmp_path / 'set', [motion])
    assert run('inspect', tmp_path / 'set') == 0
    assert 'warning: 1 episodes with positions beyond 2 m: millimetres?' in capsys.readouterr().out


def test_recordings_that_are_left_out_are_named(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write_bag(tmp_path / 'bags/good', made.make_motion())
    made.write_bag(tmp_path / 'bags/set_back', made.make_motion(), backwards=True)
    assert run('convert', tmp_path / 'bags', '--out', tmp_path / 'set') == 0
    shown = capsys.readouterr().out
    assert '1 left out, 0 cut at gaps' in shown
    assert 'set_back' in shown


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['convert', 'nowhere', '--out', 'set'], 'nothing is at nowhere'),
        (['convert', 'bag', '--out', 'set', '--step', '0.01'], 'Choose a longer step'),
        (['convert', 'bag', '--out', 'set', '--set', 'posetopic=1'], "Did you mean 'pose_topic'"),
        (['convert', 'bag', '--out', 'set', '--set', 'pose_topic=x'], '--set needs NAME=VALUE'),
        (['convert', 'bag', '--out', 'bag'], 'holds something else than a dataset'),
        (['convert', 'bag', '--out', 'set', '--camera', '/x'], 'Say it with --camera'),
        (['convert', 'bag', '--out', 'set', '--image-size', '3'], 'at least 16 px'),
        (['inspect', 'bag', '--camera', '/x'], 'no episode that can be used'),
        (['stats', 'bag'], 'no dataset in bag'),
    ],
)
def test_bad_input_gets_one_clear_line(
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    (line,) = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith('vjepa data: ')
    ]
    assert complaint in line
