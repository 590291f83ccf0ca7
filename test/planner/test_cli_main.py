# SPDX-License-Identifier: Apache-2.0
"""The command line as a newcomer meets it: help, and one clear line when something is wrong."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest

from vjepa_planner.cli import main

COMMANDS = [
    ['demo'],
    ['doctor'],
    ['calibrate'],
    ['encode'],
    ['plan'],
    ['energy'],
    ['eval'],
    ['collect'],
    ['train'],
    ['train', 'encoder'],
    ['train', 'predictor'],
    ['models'],
    ['models', 'list'],
    ['models', 'show'],
    ['models', 'download'],
    ['models', 'verify'],
]
RECORDING = str(
    Path(__file__).resolve().parents[1] / 'fixtures/recordings/franka_example_traj.npz'
)
STATE = ['0.5', '0', '0.3', '3.14', '0', '-1e-05', '0']


def exit_status(*arguments: str | Path) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        return int(leaving.code or 0)


@pytest.mark.parametrize('command', [[], *COMMANDS], ids=' '.join)
def test_help_describes_every_option(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(*command, '--help') == 0
    output = capsys.readouterr()
    assert output.err == ''
    assert output.out.startswith(' '.join(['usage: vjepa', *command]))
    assert len(output.out.splitlines()) > 5


def test_help_needs_neither_torch_nor_the_simulator() -> None:
    script = (
        'import sys\n'
        'from vjepa_planner.cli.main import make_parser\n'
        'make_parser().format_help()\n'
        'print(sorted({"torch", "mujoco", "rclpy"} & set(sys.modules)))\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == '[]'


COMMAND_LINE = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    # `true` ends long before the first line is written.
    command = f'{{ {sys.executable} -c "{COMMAND_LINE}" models list; echo $? >&2; }} | true'
    result = subprocess.run(['sh', '-c', command], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == '141'


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_output_that_cannot_be_written_is_an_error_in_one_line() -> None:
    with Path('/dev/full').open('w') as full:
        command = [sys.executable, '-c', COMMAND_LINE, 'models', 'list']
        buffered = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered
        )
    assert result.returncode == 1
    assert result.stderr.startswith('vjepa models: ')
    assert 'No space left' in result.stderr.splitlines()[0]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must fail, and return the one line that it says."""
    assert exit_status(*arguments) not in (0, None)
    output = capsys.readouterr()
    assert output.out == ''
    lines = output.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('vjepa')
    return lines[0]


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'COMMAND'),
        (['evaluate'], "invalid choice: 'evaluate'"),
        (['eval', '--model', 'franka-smi'], "Did you mean 'franka-sim'?"),
        (['eval', '--model', 'nowhere/model.pt'], 'no model at nowhere/model.pt'),
        (['eval', '--planner', 'cme'], "invalid choice: 'cme'"),
        (['eval', '--episodes', '0'], '--episodes must be positive'),
        (['eval', '--seed', '-1'], '--seed not negative, got 50 and -1'),
        (['eval', '--seed', 'abc'], "invalid int value: 'abc'"),
        (['eval', '--vary', 'colour'], "Did you mean 'colors'?"),
        (['eval', '--renderer', 'rya'], "Did you mean 'ray'?"),
        (['eval', '--set', 'samples=3'], "unknown setting of planner 'cem': 'samples'"),
        (['eval', '--set', 'num_samples'], "NAME=VALUE with a number or JSON value, got 'num_"),
        (['eval', '--set', 'num_samples=many'], "got 'num_samples=many'"),
        (['eval', '--set', 'num_samples=1.5'], 'num_samples must be a whole number, got 1.5'),
        (['eval', '--set', 'num_samples=1e999'], 'must be a finite number, got inf'),
        (['eval', '--set', 'horizon=0'], 'horizon must be between 1 and 64, got 0'),
        (['eval', '--set', 'fixed_axes={"w": 0}'], "unknown axis in fixed_axes 'w'"),
        (['eval', '--json', '.'], '. is a directory'),
        (['plan'], 'give --image, --goal and --state, or --recording'),
        (['plan', '--image', 'now.png'], 'give --image, --goal and --state, or --recording'),
        (['plan', '--recording', 'r.npz'], 'no recording at r.npz'),
        (['plan', '--recording', 'r.npz', '--goal', 'g.png'], 'leave out --image, --goal'),
        (['plan', '--crop', 'circle'], "invalid choice: 'circle'"),
        (['energy'], 'give --image, --goal and --state, or --recording'),
        (['energy', '--recording', RECORDING, '--step', '1'], 'there is no step 2'),
        (['energy', '--recording', RECORDING, '--episode', '1'], 'there is no episode 1'),
        (['energy', '--recording', RECORDING, '--points', '1'], '2 to 100 points per axis'),
        (['energy', '--recording', RECORDING, '--reach', '0'], 'a positive reach, got 5 and 0.0'),
        (['encode'], 'INPUT'),
        (['encode', 'film.mp4'], 'no file or directory at film.mp4'),
        (['encode', 'film.mp4', '--out', 'f.txt'], 'ending in .npy or .safetensors'),
        (['encode', 'film.mp4', '--fps', '4', '--stride', '2'], 'not allowed with'),
        (['collect'], '--out'),
        (['collect', '--out', 'd', '--seed', '900000'], 'those above are kept for checking'),
        (['collect', '--out', 'd', '--episodes', '0'], 'at least 1 episode'),
        (['collect', '--out', 'd', '--processes', '0'], 'processes must be at least 1'),
        (['train', 'encoder', '--data', 'd', '--out', 'o'], 'no episodes in d'),
        (['train', 'predictor', '--data', 'd', '--out', 'o', '--model', 'm'], 'no episodes'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_a_wrong_argument_gets_one_clear_line(
    arguments: list[str],
    said: str,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tiny_model.parent.parent)
    assert said in complaint(capsys, *arguments)


def test_a_wrong_image_or_state_gets_one_clear_line(
    picture: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, tiny = tmp_path / 'text.png', tmp_path / 'tiny.png'
    text.write_text('not an image')
    cv2.imwrite(str(tiny), np.zeros((8, 8, 3), np.uint8))
    nowhere = tmp_path / 'nowhere.png'

    def said(image: Path, goal: Path, state: list[str]) -> str:
        model = ['--model', tiny_model]
        return complaint(
            capsys, 'plan', '--image', image, '--goal', goal, '--state', *state, *model
        )

    assert f'no image file at {nowhere}' in said(nowhere, picture, STATE)
    assert f'no image file at {tmp_path}' in said(picture, tmp_path, STATE)
    assert f'{text} cannot be read as an image' in said(picture, text, STATE)
    assert 'at least 16 pixels a side, got (8, 8, 3)' in said(tiny, picture, STATE)
    assert 'contains NaN or infinity' in said(picture, picture, ['nan', *STATE[1:]])
    assert 'expected 7 arguments' in said(picture, picture, STATE[:6])


def test_a_model_directory_that_is_broken_gets_a_line_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / 'broken'
    broken.mkdir()
    assert 'no config.json' in complaint(capsys, 'eval', '--model', broken)
    (broken / 'config.json').write_text('{"encoder": {}}')
    assert 'no encoder.safetensors' in complaint(capsys, 'eval', '--model', broken)


def test_a_package_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 'tqdm', None)
        assert "needs the Python package 'tqdm'" in complaint(capsys, 'eval')
