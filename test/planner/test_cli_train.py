# SPDX-License-Identifier: Apache-2.0
"""From no data to a plan with commands only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
from made_recordings import make_motion, write_bag, write_episodes
import numpy as np
import pytest

from vjepa_planner.cli import main
from vjepa_planner.data.episodes import Episodes, load_episodes
from vjepa_planner.world_model import load_world_model

ENCODER = ['--width', '64', '--depth', '1', '--predictor-width', '64', '--predictor-depth', '1']


def run(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def log_of(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / 'log.jsonl').open()]


def test_collect_writes_episodes_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect = ['collect', '--out', tmp_path, '--episodes', '1', '--frames', '2', '--seed', '5']
    run(*collect, '--processes', '1')
    episodes = load_episodes(tmp_path)
    assert episodes.images.shape == (1, 2, 256, 256, 3)
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
    recipe = ['--recipe', 'simulator']
    encoder = ['train', 'encoder', *recipe, *common, '--out', tmp_path / 'encoder', *ENCODER]
    run(*encoder, '--learning-rate', '0.001')
    model = tmp_path / 'encoder' / 'model'
    assert f'model: {model}' in capsys.readouterr().out
    predictor = ['train', 'predictor', *recipe, *common, '--out', tmp_path / 'predictor']
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


def test_a_masked_encoder_gets_a_new_predictor_of_the_published_recipe(
    tiny_episodes: Episodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = tiny_episodes.images.repeat(2, axis=2).repeat(2, axis=3)
    episodes = Episodes(images=larger, states=tiny_episodes.states, seeds=tiny_episodes.seeds)
    write_episodes(tmp_path / 'data', episodes)
    common = ['--data', tmp_path / 'data', '--steps', '2', '--batch-size', '4']
    run('train', 'encoder', *common, '--out', tmp_path / 'encoder', *ENCODER)
    model = tmp_path / 'encoder' / 'model'
    config = json.loads((model / 'config.json').read_text())
    assert config['training']['encoder']['frames'] == 4  # all that the episodes have
    assert config['training']['encoder']['schedule'] == 'vjepa2'
    assert 'pretrain_predictor' in config
    # Going on from its weights is a new run.
    run('train', 'encoder', *common, '--model', model, '--out', tmp_path / 'more')

    run('train', 'predictor', *common, '--model', model, '--out', tmp_path / 'new')
    trained = json.loads((tmp_path / 'new' / 'model' / 'config.json').read_text())
    assert trained['ac_predictor']['predictor_embed_dim'] == 128
    assert trained['training']['predictor']['learning_rate'] == 4.25e-4
    assert trained['training']['predictor']['frames'] == 4
    assert trained['training']['encoder'] == config['training']['encoder']
    assert load_world_model(tmp_path / 'new' / 'model', device='cpu').can_plan
    assert (tmp_path / 'new' / 'curves.png').exists()


def test_fine_tuning_takes_a_tenth_of_the_rate_and_images_of_the_size_of_the_model(
    tiny_episodes: Episodes, tiny_model: Path, tmp_path: Path
) -> None:
    larger = tiny_episodes.images.repeat(2, axis=2).repeat(2, axis=3)
    episodes = Episodes(images=larger, states=tiny_episodes.states, seeds=tiny_episodes.seeds)
    write_episodes(tmp_path / 'data', episodes)
    arguments = ['--data', tmp_path / 'data', '--model', tiny_model, '--out', tmp_path / 'run']
    described = ['--crop', 'square', '--ee-frame', 'my_flange']
    run('train', 'predictor', *arguments, '--steps', '2', '--batch-size', '2', *described)
    config = json.loads((tmp_path / 'run' / 'model' / 'config.json').read_text())
    assert config['training']['predictor']['learning_rate'] == pytest.approx(4.25e-5)
    assert (config['crop'], config['ee_frame']) == ('square', 'my_flange')
    assert config['planner']['num_samples'] == 8  # that of the model it started from


def test_recorded_bags_become_a_fine_tuned_predictor_that_plans(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The first tutorial of docs/training.md, on bags of 6 s."""
    for seed in range(3):
        write_bag(tmp_path / 'bags' / f'{seed}', make_motion(seed))
    data, out = tmp_path / 'data', tmp_path / 'run'
    run('data', 'convert', tmp_path / 'bags', '--out', data, '--step', '1.0', '--image-size', '32')
    steps = ['--steps', '30', '--batch-size', '4', '--learning-rate', '0.003', '--piece', '5']
    run('train', 'predictor', '--data', data, '--model', tiny_model, '--out', out, *steps)
    checks = [line for line in log_of(out) if 'validation_one_step' in line]
    assert checks[-1]['validation_one_step'] < 0.8 * checks[0]['validation_one_step']
    now, goal = (make_motion().image_at(second) for second in (0, 3))
    cv2.imwrite(str(tmp_path / 'now.png'), now)
    cv2.imwrite(str(tmp_path / 'goal.png'), goal)
    state = [str(number) for number in make_motion().states[0]]
    images = ['--image', tmp_path / 'now.png', '--goal', tmp_path / 'goal.png']
    report = tmp_path / 'plan.json'
    run('plan', '--model', out / 'model', *images, '--state', *state, '--json', report)
    assert np.isfinite(json.loads(report.read_text())['actions']).all()


def test_an_official_checkpoint_is_fine_tuned_to_a_model_that_plans(
    official: Any, tiny_episodes: Episodes, tmp_path: Path
) -> None:
    write_episodes(tmp_path / 'data', tiny_episodes)
    checkpoint = tmp_path / 'official' / official.ac_checkpoint.name
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(official.ac_checkpoint.read_bytes())
    sizes = json.loads((official.folder / 'config.json').read_text())
    for section in ('encoder', 'ac_predictor'):
        sizes[section]['img_size'] = [32, 32]
    (checkpoint.parent / 'config.json').write_text(json.dumps(sizes))
    arguments = ['--data', tmp_path / 'data', '--model', checkpoint]
    steps = ['--steps', '25', '--batch-size', '4', '--learning-rate', '0.003', '--float32']
    run('train', 'predictor', *arguments, '--out', tmp_path / 'run', *steps)
    checks = [line for line in log_of(tmp_path / 'run') if 'validation_copy' in line]
    assert checks[-1]['validation_one_step'] < 0.8 * checks[0]['validation_one_step']
    tuned = load_world_model(tmp_path / 'run' / 'model', device='cpu')
    assert tuned.config.crop == 'squash'
    assert tuned.config.planner['name'] == 'cem'
    first = load_world_model(checkpoint, device='cpu')
    image = tiny_episodes.images[:1, 0]
    np.testing.assert_allclose(tuned.encode(image), first.encode(image), atol=1e-5)
    state, action = tiny_episodes.states[0, 0], np.full((1, 1, 7), 0.02)
    predictions = [m.rollout(m.encode(image)[0], state, action)[0] for m in (first, tuned)]
    assert np.abs(predictions[1] - predictions[0]).max() > 0.01


@pytest.mark.parametrize('part', ['encoder', 'predictor'])
def test_help_explains_recipes_defaults_and_what_comes_out(
    part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(['train', part, '--help'])
    text = ' '.join(capsys.readouterr().out.split())
    for expected in ('as published', 'simulator', 'curves.png', 'torchrun', 'vjepa2-vitl'):
        assert expected in text


def test_an_unknown_architecture_is_one_clear_line(
    tiny_episodes: Episodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_episodes(tmp_path / 'data', tiny_episodes)
    arguments = ['train', 'encoder', '--data', str(tmp_path / 'data'), '--out', str(tmp_path)]
    assert main([*arguments, '--architecture', 'vjepa2-vitx']) == 1
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'vjepa2-vit" in complaint
