# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('matplotlib')

from vjepa_planner.cli import main
from vjepa_planner.data.recordings import load_recording
from vjepa_planner.landscape import ActionGrid
from vjepa_planner.world_model import load_world_model

RECORDING = Path(__file__).resolve().parents[1] / 'fixtures/recordings/franka_example_traj.npz'


def energy(model: Path, folder: Path, *arguments: str) -> dict[str, object]:
    """Return what was written with --json."""
    options = [
        '--model',
        str(model),
        '--out',
        str(folder / 'out'),
        '--json',
        str(folder / 'e.json'),
    ]
    assert main(['energy', *arguments, *options]) == 0
    content: dict[str, object] = json.loads((folder / 'e.json').read_text())
    return content


def test_a_recording_gives_table_plot_and_the_place_of_the_true_action(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = energy(tiny_model, tmp_path, '--recording', str(RECORDING), '--points', '3')
    table = np.load(tmp_path / 'out' / 'energies.npy')
    np.testing.assert_array_equal(table, results['table'])
    np.testing.assert_allclose(table[:, :7], ActionGrid.cube(3).actions)

    world_model, recording = load_world_model(tiny_model), load_recording(RECORDING)
    now, goal = world_model.encode(recording.images)
    actions = np.concatenate([ActionGrid.cube(3).actions, recording.action(0, 1)[None]])[:, None]
    expected = world_model.candidate_energies(now, recording.states[0], actions, goal)
    np.testing.assert_allclose(table[:, 7], expected[:-1], atol=1e-6)
    assert results['true']['energy'] == pytest.approx(expected[-1], abs=1e-6)
    assert results['true']['rank'] == 1 + (table[:, 7] < results['true']['energy']).sum()
    assert results['lowest']['energy'] == table[:, 7].min()
    assert results['now'] == pytest.approx(float(world_model.energy(now, goal)), abs=1e-6)

    picture = cv2.imread(str(tmp_path / 'out' / 'energy.png'))
    assert min(picture.shape[:2]) > 300
    output = capsys.readouterr().out
    assert f'{results["lowest"]["energy"]:.4f} after dx dy dz' in output
    assert f'; {results["true"]["rank"] - 1} of 27 are lower' in output


def test_without_a_recording_there_is_no_true_action(tiny_model: Path, tmp_path: Path) -> None:
    for name, image in zip(('now', 'goal'), load_recording(RECORDING).images, strict=True):
        cv2.imwrite(str(tmp_path / f'{name}.png'), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    state = [str(value) for value in load_recording(RECORDING).states[0]]
    files = ['--image', str(tmp_path / 'now.png'), '--goal', str(tmp_path / 'goal.png')]
    results = energy(tiny_model, tmp_path, *files, '--state', *state, '--points', '2')
    assert 'true' not in results
    recorded = energy(tiny_model, tmp_path, '--recording', str(RECORDING), '--points', '2')
    np.testing.assert_allclose(results['table'], recorded['table'], atol=1e-6)


def test_a_missing_matplotlib_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    monkeypatch.delitem(sys.modules, 'vjepa_planner.landscape_plot', raising=False)
    arguments = ['energy', '--recording', str(RECORDING), '--model', str(tmp_path / 'nothing.pt')]
    assert main(arguments) == 1
    assert "needs the Python package 'matplotlib" in capsys.readouterr().err
