# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from vjepa_planner.cli import main
from vjepa_planner.evaluation import available_tasks
from vjepa_planner.evaluation.reach import MAX_ACTIONS


def test_the_untrained_model_with_random_actions_is_evaluated_and_reported(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tiny_model.parent.parent)
    file = tmp_path / 'new' / 'result.json'
    arguments = ['eval', '--task', 'reach', '--episodes', '1', '--seed', '700010']
    arguments += ['--model', 'untrained', '--planner', 'random', '--json', str(file)]
    assert main(arguments) == 0
    content = json.loads(file.read_text())
    assert content['episodes'] == 1
    assert content['success_rate'] in (0.0, 1.0)
    low, high = content['ci95']
    assert 0.0 <= low < high <= 1.0
    assert content['seconds_per_action'] > 0
    assert (content['task'], content['model'], content['planner']) == (
        'reach', 'untrained', 'random',
    )  # fmt: skip
    assert (content['seed'], content['vary']) == (700010, ['colors'])
    assert content['planner_settings']['max_translation'] == 0.075
    (result,) = content['results']
    assert result['seed'] == 700010
    assert len(result['distances']) == MAX_ACTIONS + 1
    output = capsys.readouterr()
    assert 'untrained' in output.out
    assert '1/1' in output.err  # progress


@pytest.mark.parametrize(('goals', 'sub_goals'), [('sub-goals', {0, 1, 2}), ('final', {0})])
def test_sub_goals_are_followed_unless_only_the_final_one_is_wanted(
    tiny_model: Path, tmp_path: Path, goals: str, sub_goals: set[int]
) -> None:
    file = tmp_path / 'result.json'
    arguments = ['eval', '--task', 'pick_place_cup', '--goals', goals, '--episodes', '1']
    arguments += ['--model', str(tiny_model), '--planner', 'hold', '--json', str(file)]
    assert main(arguments) == 0
    content = json.loads(file.read_text())
    assert (content['task'], content['goals']) == ('pick_place_cup', goals)
    (result,) = content['results']
    assert not result['success']
    assert set(result['sub_goals']) == sub_goals
    assert len(result['distances']) == 4 + 10 + 4 + 1


def test_a_report_is_left_where_it_is_wanted(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('matplotlib')
    pytest.importorskip('imageio_ffmpeg')
    arguments = ['eval', '--episodes', '2', '--model', str(tiny_model), '--planner', 'hold']
    assert main([*arguments, '--out', str(tmp_path / 'run'), '--videos', '1']) == 0
    assert 'run/report.md' in capsys.readouterr().out
    assert len(list((tmp_path / 'run').glob('failure-*.mp4'))) == 1
    assert main([*arguments, '--out', str(tmp_path / 'run'), '--videos', '-1']) == 1
    assert '--videos must not be negative, got -1' in capsys.readouterr().err


def test_every_task_is_explained_and_an_unknown_one_is_refused_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(['eval', '--help'])
    explained = capsys.readouterr().out
    for task in available_tasks():
        assert task.replace('cup', 'OBJECT').replace('box', 'OBJECT') in explained
    assert main(['eval', '--task', 'grasp_cups']) == 1
    assert "Did you mean 'grasp_cup'" in capsys.readouterr().err
