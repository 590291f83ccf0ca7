# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vjepa_planner.cli import main

RECORDING = Path(__file__).resolve().parents[1] / 'fixtures/recordings/franka_example_traj.npz'


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / 'now.png', tmp_path / 'goal.jpg']
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return paths


def plan(pictures: list[Path], model: Path, json_file: Path, *more: str) -> dict[str, object]:
    now, goal = map(str, pictures)
    state = ['0.5', '-1e-2', '0.3', '3.14', '0', '0', '0']
    arguments = ['plan', '--image', now, '--goal', goal, '--state', *state]
    arguments += ['--model', str(model), '--json', str(json_file), *more]
    assert main(arguments) == 0
    content: dict[str, object] = json.loads(json_file.read_text())
    return content


def test_a_plan_is_printed_and_written(
    pictures: list[Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = plan(pictures, tiny_model, tmp_path / 'new' / 'plan.json', '--set', 'horizon=2')
    assert set(content) == {'actions', 'energy', 'current_energy', 'evaluations', 'duration'}
    actions = np.array(content['actions'])
    assert actions.shape == (2, 7)
    assert np.abs(actions[:, :3]).max() <= 0.075
    assert content['evaluations'] == 2 * 8 + 1
    heading, *steps, energy = capsys.readouterr().out.splitlines()
    assert 'dx' in heading
    assert len(steps) == 2
    assert f'{content["energy"]:.4f} planned' in energy


def test_the_seed_decides_the_plan(pictures: list[Path], tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / 'plan.json'
    first, again, other = (
        plan(pictures, tiny_model, file, '--seed', seed)['actions'] for seed in ('1', '1', '2')
    )
    assert first == again != other


def test_another_planner_and_its_settings_are_obeyed(
    pictures: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / 'plan.json'
    held = plan(pictures, tiny_model, file, '--planner', 'hold')
    assert np.count_nonzero(held['actions']) == 0
    settings = ['--set', 'fixed_axes={"z": 0.01}', '--set', 'max_translation=0.02']
    planned = np.array(plan(pictures, tiny_model, file, *settings)['actions'])
    assert planned[0, 2] == 0.01
    assert np.abs(planned[0, :2]).max() <= 0.02


def test_a_recording_is_planned_on_and_the_true_displacement_stands_beside(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['plan', '--recording', str(RECORDING), '--model', str(tiny_model)]
    file = tmp_path / 'plan.json'
    results = []
    for steps in ([], ['--step', '0', '--goal-step', '1'], ['--step', '1', '--goal-step', '0']):
        assert main([*arguments, '--json', str(file), *steps]) == 0
        results.append(json.loads(file.read_text()))
    true = [result['true_action'][:3] for result in results]
    np.testing.assert_allclose(true[0], [0.0924, 0.0310, 0.0843], atol=5e-5)
    np.testing.assert_allclose(true[2], -np.array(true[0]))
    assert results[0]['actions'] == results[1]['actions'] != results[2]['actions']
    output = capsys.readouterr().out.splitlines()
    assert output[2].split()[:4] == ['true', '0.0924', '0.0310', '0.0843']


def test_the_cropping_is_obeyed(tiny_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / 'now.png', tmp_path / 'goal.png']
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (48, 80, 3), dtype=np.uint8))
    square, squash, default = (
        plan(paths, tiny_model, tmp_path / 'plan.json', *crop)['current_energy']
        for crop in (['--crop', 'square'], ['--crop', 'squash'], [])
    )
    assert square != squash == default
