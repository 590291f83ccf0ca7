# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the library's tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vjepa_planner.data.episodes import Episodes

_ROOT = Path(__file__).resolve().parents[2]
# Numbers of the official code: in this repository, and more of them beside some checkouts.
_FOLDERS = (_ROOT / 'test/fixtures/networks', _ROOT.parent / 'shared/fixtures/parity')


@pytest.fixture(scope='session', autouse=True)
def _one_thread() -> None:
    """Let torch use one thread: tiny networks gain nothing from several that wait for each other.

    On a machine that is busy otherwise, the waiting takes a hundred times as long as the work.
    """
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@dataclass(frozen=True)
class OfficialNumbers:
    """Small networks of the official layout and what the official code computes with them."""

    folder: Path

    @property
    def ac_checkpoint(self) -> Path:
        """Encoder and action-conditioned predictor."""
        return self.folder / 'vjepa2_ac_tiny_official_layout.pt'

    @property
    def pretraining_checkpoint(self) -> Path:
        """Encoder and masked predictor."""
        return self.folder / 'vjepa2_pretrain_tiny_official_layout.pt'

    @cached_property
    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See ``test/fixtures/README.md``."""
        with np.load(self.folder / 'parity.npz') as file:
            return dict(file)


@pytest.fixture(
    scope='session',
    params=[path for path in _FOLDERS if path.is_dir()],
    ids=lambda path: path.name,
)
def official(request: pytest.FixtureRequest) -> OfficialNumbers:
    """Each set of official numbers in turn."""
    return OfficialNumbers(request.param)


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an untrained model for images of 32 px, named as the one that is shipped.

    It lies in a folder ``models``, so that it is found by name from the folder above.
    """
    from vjepa_planner.networks import save_model_directory
    from vjepa_planner.networks.untrained import make_untrained_networks

    sizes = {'img_size': 32, 'patch_size': 16, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
    config = {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 32}}
    networks = make_untrained_networks(config, seed=0)
    path = tmp_path_factory.mktemp('tiny') / 'models' / 'franka-sim'
    planner = {'name': 'cem', 'num_samples': 8, 'num_iterations': 2, 'num_elites': 4}
    extra = {'image_size': 32, 'ee_frame': 'fr3_hand_tcp', 'planner': planner}
    save_model_directory(path, networks.encoder, networks.predictor, extra)
    return path


@pytest.fixture(scope='session')
def tiny_episodes() -> Episodes:
    """Ten recorded episodes of four frames of 32 px."""
    from vjepa_planner.data.collect import CollectConfig, record_episode
    from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

    config = CollectConfig(episodes=10, frames=4, image_size=32)
    simulation = FrankaSimulation(SimulationConfig(image_size=64))
    recorded = [record_episode(simulation, config, seed) for seed in range(config.episodes)]
    return Episodes(
        images=np.stack([images for images, _ in recorded]),
        states=np.stack([states for _, states in recorded]).astype(np.float32),
        seeds=np.arange(config.episodes),
    )
