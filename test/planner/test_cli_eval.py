# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

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


def test_through_ros_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_spec(name: str) -> object:
        return None if name in missing else SimpleNamespace(origin='somewhere')

    arguments = ['eval', '--through', 'ros', '--backend', 'onnxruntime']
    monkeypatch.setattr('vjepa_planner.cli.through_ros.find_spec', find_spec)
    missing = {'vjepa_ros'}
    assert main(arguments) == 1
    assert '--through ros needs the package vjepa_ros' in capsys.readouterr().err
    monkeypatch.setattr('vjepa_ros.child_nodes.requirements.find_spec', find_spec)
    missing = {'rclpy', 'vjepa_msgs', 'matplotlib'}
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert 'packages that are missing: rclpy, vjepa_msgs. Run `make setup`, or source' in error
    missing = {'matplotlib'}
    assert main([*arguments, '--out', 'somewhere']) == 1
    assert 'missing: matplotlib' in capsys.readouterr().err
    assert not Path('somewhere').exists()


def test_through_anything_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['eval', '--through', 'gazebo'])
    assert "invalid choice: 'gazebo'" in capsys.readouterr().err


def test_seeds_that_no_parameter_can_hold_are_refused_through_ros(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rclpy')
    pytest.importorskip('vjepa_msgs.msg')
    arguments = ['eval', '--through', 'ros', '--model', str(tiny_model), '--episodes', '2']
    assert main([*arguments, '--seed', str(2**31)]) == 1
    assert f'must not exceed {2**31}, got {2**31 + 1}' in capsys.readouterr().err
