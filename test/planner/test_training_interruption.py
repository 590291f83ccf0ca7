# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed, and runs that are asked to stop."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from made_recordings import write_episodes
import pytest
import torch

from vjepa_planner.cli import main
from vjepa_planner.data.episodes import Episodes
from vjepa_planner.training.interruption import deferred_interruption
from vjepa_planner.training.run import read_log

ROOT = Path(__file__).resolve().parents[2]
STEPS = 400
SCRIPT = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


def test_the_first_ctrl_c_is_remembered_and_the_second_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_request_to_terminate_is_remembered_likewise() -> None:
    with deferred_interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT)

    def use() -> None:
        with deferred_interruption():
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()


@pytest.fixture
def arguments(tiny_episodes: Episodes, tmp_path: Path) -> list[str]:
    write_episodes(tmp_path / 'data', tiny_episodes)
    sizes = ['--width', '64', '--depth', '1', '--predictor-width', '64', '--predictor-depth', '1']
    often = ['--log-every', '1', '--save-every', '7', '--evaluate-every', '25', '--keep-going']
    return [
        *('train', 'encoder', '--recipe', 'simulator', '--device', 'cpu', *sizes, *often),
        *('--steps', str(STEPS), '--batch-size', '2', '--data', str(tmp_path / 'data')),
    ]


@pytest.fixture
def started(arguments: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run in another process and wait until it has taken some steps."""
    with subprocess.Popen(
        [sys.executable, '-c', SCRIPT, *arguments, '--out', str(tmp_path / 'run')],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while len(read_log(tmp_path / 'run' / 'log.jsonl')) < 20:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
        process.kill()


def contents(directory: Path) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return the log without times, and weights and moments of the last state."""
    log = read_log(directory / 'log.jsonl')
    for line in log:
        del line['seconds']
    state = torch.load(directory / 'state.pt', weights_only=True)
    tensors = dict(state['modules'])
    for index, moments in state['optimiser']['state'].items():
        tensors |= {f'{index}.{name}': moment for name, moment in moments.items()}
    return log, tensors


def test_a_killed_run_goes_on_to_the_same_bits_as_an_uninterrupted_one(
    arguments: list[str], started: subprocess.Popen[str], tmp_path: Path
) -> None:
    started.send_signal(signal.SIGKILL)
    started.wait()
    killed_at = read_log(tmp_path / 'run' / 'log.jsonl')[-1]['step']
    assert killed_at < STEPS
    for name in ('run', 'whole'):
        assert main([*arguments, '--out', str(tmp_path / name)]) == 0
    (log, tensors), (whole_log, whole_tensors) = (
        contents(tmp_path / name) for name in ('run', 'whole')
    )
    assert log == whole_log
    assert tensors.keys() == whole_tensors.keys()
    assert all(torch.equal(tensors[name], whole_tensors[name]) for name in tensors)
    best, whole_best = (
        torch.load(tmp_path / name / 'best.pt', weights_only=True) for name in ('run', 'whole')
    )
    assert best['step'] == whole_best['step']
    assert best['score'] == whole_best['score']


def test_ctrl_c_finishes_the_step_and_saves_it(
    started: subprocess.Popen[str], tmp_path: Path
) -> None:
    started.send_signal(signal.SIGINT)
    _, stderr = started.communicate(timeout=60)
    assert started.returncode == 130
    step = torch.load(tmp_path / 'run' / 'state.pt', weights_only=True)['step']
    assert step == read_log(tmp_path / 'run' / 'log.jsonl')[-1]['step'] < STEPS
    assert f'saved at step {step}; the same command goes on from there' in stderr
    assert stderr.rstrip().endswith('vjepa train: interrupted')
    assert 'Traceback' not in stderr
