# SPDX-License-Identifier: Apache-2.0
"""A published predictor without encoder finds the published encoder that it belongs to."""

from __future__ import annotations

from pathlib import Path
import shutil

import pytest

torch = pytest.importorskip('torch')

from vjepa_planner import load_world_model  # noqa: E402
from vjepa_planner.backends.loading import load_model_networks  # noqa: E402
from vjepa_planner.catalog import CATALOG  # noqa: E402
from vjepa_planner.errors import CheckpointError  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[2] / 'test/fixtures'
PREDICTOR, ENCODER = CATALOG['vjepa2-ac-droid'], CATALOG['vjepa2-vitg']


@pytest.fixture
def predictor(tmp_path, monkeypatch):
    """Return the file of jepa-wms, tiny, in a folder where no other model is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    folder = FIXTURES / 'networks_jepa_wms'
    path = Path(shutil.copytree(folder, tmp_path / 'models' / PREDICTOR.name))
    return path / PREDICTOR.checkpoint.name


def _download_encoder(tmp_path):
    folder = tmp_path / 'models' / ENCODER.name
    folder.mkdir()
    shutil.copy(FIXTURES / 'networks/config.json', folder)
    file = FIXTURES / 'networks/vjepa2_pretrain_tiny_official_layout.pt'
    content = torch.load(file, weights_only=True)
    content['target_encoder'] = {k: v + 1 for k, v in content['encoder'].items()}
    torch.save(content, folder / ENCODER.checkpoint.name)
    return content['encoder']


def test_the_encoder_is_taken_from_the_model_that_it_was_trained_with(predictor, tmp_path):
    copy = _download_encoder(tmp_path)
    networks = load_model_networks(predictor)
    assert not networks.predictor.config.use_state
    weight = copy['module.backbone.norm.weight']
    assert torch.equal(networks.encoder.norm.weight, weight)
    model = load_world_model(PREDICTOR.name, device='cpu')
    assert model.config.planner['horizon'] == 3


def test_what_is_missing_is_named_with_the_command_that_gets_it(predictor):
    with pytest.raises(CheckpointError, match=f'vjepa models download {ENCODER.name}'):
        load_model_networks(predictor)
