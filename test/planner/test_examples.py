# SPDX-License-Identifier: Apache-2.0
"""Every example runs, stays short, and needs no ROS."""

from __future__ import annotations

import ast
from pathlib import Path
import runpy
import sys

import cv2
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'examples'
EXAMPLES = sorted(FOLDER.glob('[0-9]*.py'))
# What makes them quick enough for a test, and a line that shows that they did their work.
RUNS = {
    '01_encode_image.py': ([], 'embeddings (images, tokens, dim) = (3, 4, 32)'),
    '02_plan_one_action.py': ([], 'true displacement to the goal'),
    '03_reach_in_simulation.py': (['--actions', '1'], '     1  '),
    '04_energy_landscape.py': (['--size', '3'], 'lowest at dx dy ='),
}


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: Path,
    *arguments: str,
) -> str:
    monkeypatch.setattr(sys, 'argv', [path.name, *arguments])
    runpy.run_path(str(path), run_name='__main__')
    return capsys.readouterr().out


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, shown = RUNS[path.name]
    output = run(monkeypatch, capsys, path, '--model', str(tiny_model), *arguments)
    assert shown in output
    assert 'nan' not in output


def test_images_of_ones_own_are_compared(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [tmp_path / 'dark.png', tmp_path / 'noise.png']
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for path, image in zip(paths, (np.zeros_like(noise), noise), strict=True):
        cv2.imwrite(str(path), image)
    arguments = [*map(str, paths), '--model', str(tiny_model)]
    output = run(monkeypatch, capsys, FOLDER / '01_encode_image.py', *arguments)
    rows = [line.split() for line in output.splitlines()[-2:]]
    assert [row[0] for row in rows] == ['dark.png', 'noise.png']
    energies = np.array([[float(value) for value in row[1:]] for row in rows])
    np.testing.assert_allclose(energies, energies.T)
    np.testing.assert_array_equal(np.diag(energies), 0.0)
    assert energies[0, 1] > 0.01


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_explained_and_free_of_ros(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 80
    tree = ast.parse(text)
    usage = ast.get_docstring(tree) or ''
    assert f'python examples/{path.name}' in usage
    nodes = list(ast.walk(tree))
    imported = {node.module or '' for node in nodes if isinstance(node, ast.ImportFrom)}
    for node in nodes:
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
    ros = ('rclpy', 'vjepa_ros', 'vjepa_msgs')
    assert not [name for name in imported if name.startswith(ros)]
