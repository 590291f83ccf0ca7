# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run and write what they measured; what they measure is not judged here."""

from __future__ import annotations

import json
from pathlib import Path
import runpy
import sys

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'benchmarks'


def run(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments), '--threads', '1'])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(FOLDER / script), run_name='__main__')
    return int(leaving.value.code or 0)


def run_plan_latency(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    return run(monkeypatch, 'plan_latency.py', *arguments)


def test_the_latency_of_plans_is_written_for_every_variant(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / 'latency.json'
    planners = ['recommended', 'cem:num_samples=4,num_elites=2', 'random']
    arguments = ['--model', tiny_model, '--repeats', '2', '--warm-up', '0', '--device', 'cpu']
    assert run_plan_latency(monkeypatch, *arguments, '--planner', *planners, '--json', file) == 0
    content = json.loads(file.read_text())
    assert content['machine']['cores'] >= 1
    assert [result['variant'].split()[-1] for result in content['results']] == planners
    assert [result['evaluations'] for result in content['results']] == [2 * 8 + 1, 2 * 4 + 1, 1]
    for result in content['results']:
        seconds = result['seconds']
        assert 0 < seconds['p10'] <= seconds['p50'] <= seconds['p90']
        assert result['plans_per_second'] == pytest.approx(1 / seconds['p50'])
        assert result['repeats'] == 2
    table = capsys.readouterr().out
    assert all(planner in table for planner in planners)


@pytest.mark.parametrize(
    ('planner', 'said'),
    [('cme', "Did you mean 'cem'?"), ('cem:samples=4', "'samples'"), ('cem:horizon', 'horizon')],
)
def test_a_variant_that_does_not_exist_is_named(
    planner: str,
    said: str,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_plan_latency(monkeypatch, '--model', tiny_model, '--planner', planner) == 2
    assert said in capsys.readouterr().err


def test_full_size_measures_each_precision_from_a_file_that_it_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'full_size.json'
    monkeypatch.setenv('PYTHONPATH', str(FOLDER.parent))  # of the processes that it starts
    options = ['--trial', '--samples', '4', '--folder', tmp_path, '--json', file]
    assert run(monkeypatch, 'full_size.py', *options) == 0
    assert list(tmp_path.iterdir()) == [file]
    results = json.loads(file.read_text())['results']
    assert [result['precision'] for result in results] == ['float32', 'bfloat16']
    for result in results:
        assert len(result['action']) == 7
        assert result['evaluations'] == 5
        assert 0 < result['weights_gb'] < result['peak_loading_gb'] <= result['peak_gb']
    assert results[1]['weights_gb'] < 0.7 * results[0]['weights_gb']
    assert 'bfloat16' in capsys.readouterr().out


def test_full_size_says_what_is_wrong_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('PYTHONPATH', str(FOLDER.parent))
    (tmp_path / 'broken.pt').write_text('no weights')
    assert run(monkeypatch, 'full_size.py', '--checkpoint', tmp_path / 'broken.pt') == 2
    assert 'broken.pt is no PyTorch checkpoint' in capfd.readouterr().err
