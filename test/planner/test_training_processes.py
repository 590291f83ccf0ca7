# SPDX-License-Identifier: Apache-2.0
"""Several processes with parts of a batch are one process with all of it."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

from made_recordings import write_episodes
import pytest
import torch

from vjepa_planner.cli import main
from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.training.processes import Processes, started_processes
from vjepa_planner.training.run import read_log

ROOT = Path(__file__).resolve().parents[2]
SIZES = ['--width', '64', '--depth', '1', '--predictor-width', '64', '--predictor-depth', '1']
COMMON = ['--steps', '6', '--batch-size', '4', '--float32', '--device', 'cpu', '--log-every', '1']
PARTS = {
    'masked': ['encoder', '--frames', '4', *SIZES],
    'dynamics': ['encoder', '--recipe', 'simulator', *SIZES],
    'predictor': ['predictor', '--frames', '4'],
}
SCRIPT = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


def test_parts_are_equal_and_cover_the_batch() -> None:
    parts = [Processes(rank, 3).part(12) for rank in range(3)]
    assert [list(range(12))[part] for part in parts] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    with pytest.raises(InvalidInputError, match='batch of 4 does not split evenly over 3'):
        Processes(0, 3).part(4)


def test_one_process_is_the_main_one_and_averages_with_nobody() -> None:
    processes = Processes()
    module = torch.nn.Linear(1, 1)
    assert processes.is_main
    assert processes.synchronised(module) is module
    assert processes.mean({'a': torch.tensor(2.0)}) == {'a': 2.0}
    assert processes.any(True)
    assert not processes.any(False)


def test_a_device_that_is_not_there_is_refused() -> None:
    with (
        pytest.raises(InvalidInputError, match="device 'warp' is not available"),
        started_processes('warp'),
    ):
        pass


@pytest.mark.parametrize('part', PARTS)
def test_two_processes_give_the_numbers_of_one(
    part: str, tiny_episodes: Episodes, tiny_model: Path, tmp_path: Path
) -> None:
    square = Episodes(  # of enough patches to hide some
        images=tiny_episodes.images.repeat(2, axis=2).repeat(2, axis=3),
        states=tiny_episodes.states,
        seeds=tiny_episodes.seeds,
    )
    write_episodes(tmp_path / 'data', square)
    arguments = ['train', *PARTS[part], *COMMON, '--data', str(tmp_path / 'data')]
    if part == 'predictor':
        arguments += ['--model', str(tiny_model)]
    script = tmp_path / 'vjepa.py'
    script.write_text(SCRIPT)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--local-addr', '127.0.0.1']
    assert main([*arguments, '--out', str(tmp_path / 'one')]) == 0
    command = [*torchrun, '--nproc-per-node', '2', str(script), *arguments]
    subprocess.run(
        [sys.executable, *command, '--out', str(tmp_path / 'two')],
        env=environment,
        check=True,
        timeout=150,
    )
    one, two = (read_log(tmp_path / name / 'log.jsonl') for name in ('one', 'two'))
    assert [line['step'] for line in one] == [line['step'] for line in two]
    for single, several in zip(one, two, strict=True):
        del single['seconds'], several['seconds']
        assert several == pytest.approx(single, rel=2e-4, abs=1e-6)
    weights = [
        torch.load(tmp_path / name / 'state.pt', weights_only=True)['modules']
        for name in ('one', 'two')
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=2e-5, rtol=1e-3)
