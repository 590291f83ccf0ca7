# SPDX-License-Identifier: Apache-2.0
"""What vjepa doctor finds about a model."""

from __future__ import annotations

from pathlib import Path
import shutil

import pytest

from vjepa_planner import health
from vjepa_planner.cli import main
from vjepa_planner.health import check_model, Finding, Level, ModelChoice

pytest.importorskip('torch')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> Path:
    from vjepa_planner.networks.checkpoints import save_model_directory
    from vjepa_planner.networks.untrained import make_untrained_networks

    sizes = {'img_size': 32, 'embed_dim': 24, 'depth': 1, 'num_heads': 2}
    networks = make_untrained_networks(
        {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 24}}, seed=0
    )
    path = tmp_path_factory.mktemp('models') / 'tiny'
    planner = {'name': 'cem', 'num_samples': 8, 'num_iterations': 1, 'num_elites': 2}
    extra = {'name': 'tiny', 'image_size': 32, 'planner': planner}
    save_model_directory(path, networks.encoder, networks.predictor, extra)
    return path


def findings(model: str | Path, backend: str = 'torch') -> dict[str, Finding]:
    choice = ModelChoice(model=str(model), backend=backend, device='cpu', precision='float32')
    return {finding.check: finding for finding in check_model(choice)}


def test_a_good_model_loads_and_plans_in_a_measured_time(tiny: Path) -> None:
    found = findings(tiny)
    assert [one.level for one in found.values() if one.check != 'engine'] == [Level.OK] * 3
    assert 'tiny runs on torch' in found['model'].found
    seconds, _, _ = found['plan'].found.partition(' s with ')
    assert 0.0 <= float(seconds) < health.SLOW_PLAN


def test_a_plan_that_is_too_slow_for_the_commander_is_a_warning(tiny: Path, monkeypatch) -> None:
    monkeypatch.setattr(health, 'SLOW_PLAN', 0.0)
    found = findings(tiny)['plan']
    assert found.level is Level.WARN
    assert 'plan_max_age' in found.advice


def test_a_missing_and_a_broken_model_fail_with_what_to_do(tiny: Path, tmp_path: Path) -> None:
    missing = findings('no-such-model')
    assert missing['model'].level is missing['model files'].level is Level.FAIL
    assert 'vjepa models list' in missing['model'].advice
    assert 'plan' not in missing
    broken = tmp_path / 'broken'
    shutil.copytree(tiny, broken)
    weights = next(broken.glob('*.safetensors'))
    weights.write_bytes(weights.read_bytes()[:-100])
    assert findings(broken)['model files'].level is Level.FAIL


def test_the_command_fails_if_the_model_does(tiny: Path, capsys) -> None:
    assert main(['doctor', '--only', 'model', '--model', str(tiny), '--device', 'cpu']) == 0
    assert 'ok       plan' in capsys.readouterr().out
    assert main(['doctor', '--only', 'model', '--model', 'no-such-model']) == 1
    assert 'do: ' in capsys.readouterr().out
