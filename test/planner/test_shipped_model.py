# SPDX-License-Identifier: Apache-2.0
"""The model in models/franka-sim does what its card says, on seeds that training never saw."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from vjepa_planner.evaluation import evaluate
from vjepa_planner.export.parity import compare, TOLERANCES
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig
from vjepa_planner.world_model import load_world_model

MODEL = Path(__file__).resolve().parents[2] / 'models' / 'franka-sim'
HAS_TORCH = find_spec('torch') is not None
SEEDS = range(800_100, 800_103)


def test_it_reaches_goal_images_and_holding_still_does_not() -> None:
    world_model = load_world_model(MODEL, backend='torch' if HAS_TORCH else 'onnxruntime')
    simulation = FrankaSimulation(SimulationConfig(vary=frozenset({'colors'})))
    planned, held = (
        [
            episode.result.success
            for episode in evaluate(
                world_model,
                make_recommended_planner(world_model.config.planner, name),
                simulation,
                SEEDS,
            )
        ]
        for name in ('cem', 'hold')
    )
    assert sum(planned) >= len(SEEDS) - 1
    assert not any(held)


def test_its_graphs_compute_what_its_weights_compute(tmp_path, monkeypatch) -> None:
    pytest.importorskip('torch')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    reference, exported = (
        load_world_model(MODEL, backend, 'cpu') for backend in ('torch', 'onnxruntime')
    )
    tolerances = TOLERANCES['float32']
    lines = list(compare(exported, reference, tolerances, horizon=2, candidates=256))
    assert all(line.within for line in lines), '\n'.join(map(str, lines))
    assert not list(tmp_path.iterdir())  # nothing had to be exported


def test_it_is_small_enough_for_the_repository() -> None:
    assert sum(file.stat().st_size for file in MODEL.rglob('*') if file.is_file()) < 30e6
