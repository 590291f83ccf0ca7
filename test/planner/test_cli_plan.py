# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vjepa_planner.cli import main
from vjepa_planner.cli.plan import read_image


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
