# SPDX-License-Identifier: Apache-2.0
"""From no data to a plan with commands only."""

from __future__ import annotations

import json
from pathlib import Path

from made_recordings import write_episodes
import pytest

from vjepa_planner.cli import main
from vjepa_planner.data.episodes import Episodes, load_episodes
from vjepa_planner.world_model import load_world_model

ENCODER = ['--width', '64', '--depth', '1', '--predictor-width', '64', '--predictor-depth', '1']


def run(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def test_collect_writes_episodes_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect = ['collect', '--out', tmp_path, '--episodes', '1', '--frames', '2', '--seed', '5']
    run(*collect, '--processes', '1')
    episodes = load_episodes(tmp_path)
    assert episodes.images.shape == (1, 2, 128, 128, 3)
    assert episodes.seeds.tolist() == [5]
    assert '1/1' in capsys.readouterr().err
    (data,) = (tmp_path / 'data').rglob('*.parquet')
    before = data.stat().st_mtime_ns
    run(*collect, '--processes', '1')
    assert data.stat().st_mtime_ns == before


def test_an_encoder_then_a_predictor_are_trained_and_their_model_loads(
    tiny_episodes: Episodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_episodes(tmp_path / 'data', tiny_episodes)
    common = ['--data', tmp_path / 'data', '--steps', '2', '--batch-size', '4']
    encoder = ['train', 'encoder', *common, '--out', tmp_path / 'encoder', *ENCODER]
    run(*encoder, '--learning-rate', '0.001')
    model = tmp_path / 'encoder' / 'model'
    assert f'model: {model}' in capsys.readouterr().out
    predictor = ['train', 'predictor', *common, '--out', tmp_path / 'predictor']
    run(*predictor, '--model', model, '--float32')

    world_model = load_world_model(tmp_path / 'predictor' / 'model', device='cpu')
    assert world_model.embedding_shape == (4, 64)
    assert world_model.config.planner['name'] == 'cem'
    config = json.loads((tmp_path / 'predictor' / 'model' / 'config.json').read_text())
    assert config['training']['encoder']['learning_rate'] == 0.001
    assert config['training']['encoder']['episodes'] == 10
    assert config['training']['predictor']['bfloat16'] is False

    run(*encoder, '--learning-rate', '0.001')  # finished already: the model is written again
    assert '2/2' in capsys.readouterr().err
    again = [*encoder, '--learning-rate', '0.002']
    assert main([str(argument) for argument in again]) == 1
    (complaint,) = capsys.readouterr().err.splitlines()
    assert 'learning_rate 0.001, now 0.002' in complaint


def test_a_model_without_an_action_conditioned_predictor_is_refused(
    tiny_episodes: Episodes, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_episodes(tmp_path / 'data', tiny_episodes)
    encoder_only = tmp_path / 'encoder-only'
    encoder_only.mkdir()
    for name in ('config.json', 'encoder.safetensors'):
        (encoder_only / name).write_bytes((tiny_model / name).read_bytes())
    arguments = ['train', 'predictor', '--data', tmp_path / 'data', '--out', tmp_path / 'run']
    assert main([*map(str, arguments), '--model', str(encoder_only)]) == 1
    assert 'no action-conditioned predictor' in capsys.readouterr().err
