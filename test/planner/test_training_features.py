# SPDX-License-Identifier: Apache-2.0
"""Features of a frozen encoder, in memory or in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.networks import Encoder, EncoderConfig
from vjepa_planner.training import features as module
from vjepa_planner.training.features import computed_features, Features
from vjepa_planner.training.probe import embed_episodes
from vjepa_planner.training.processes import Processes


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    sizes = {'img_size': (32, 32), 'num_frames': 2, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
    return Encoder(EncoderConfig(**sizes)).eval()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, '_ROWS_PER_BATCH', 4)


def compute(
    episodes: Episodes, encoder: Encoder, directory: Path, **changes: Any
) -> tuple[Features, list[str]]:
    """Return the features, and what was said meanwhile."""
    options: dict[str, Any] = {
        'color_copies': 1,
        'seed': 0,
        'memory_bound': 1.0,
        'processes': Processes(),
    }
    generator = computed_features(episodes, encoder, directory, **options | changes)
    said = []
    while True:
        try:
            said.append(next(generator)[1])
        except StopIteration as end:
            return end.value, said


def test_the_first_copy_has_the_embeddings_of_the_images_and_the_second_other_colours(
    tiny_episodes: Episodes, encoder: Encoder, tmp_path: Path
) -> None:
    features, said = compute(tiny_episodes, encoder, tmp_path)
    assert features.array.shape == (2, 10, 4, 4, 32)
    embeddings = embed_episodes(encoder, tiny_episodes).numpy()
    np.testing.assert_allclose(features.array[0], embeddings, atol=2e-3)
    assert np.abs(features.array[1] - embeddings).max() > 0.1
    assert said[-1] == 'encoding 10/10 episodes, pass 2'
    assert list(tmp_path.iterdir()) == []  # in memory


def test_windows_are_what_they_say(
    tiny_episodes: Episodes, encoder: Encoder, tmp_path: Path
) -> None:
    features, _ = compute(tiny_episodes, encoder, tmp_path)
    windows = features.windows(1, np.array([7, 2]), np.array([[0, 1], [2, 3]]))
    assert windows.dtype == torch.float32
    np.testing.assert_array_equal(windows[1, 0], features.array[1, 2, 2])


def test_what_does_not_fit_goes_to_a_file_with_the_same_numbers(
    tiny_episodes: Episodes, encoder: Encoder, tmp_path: Path
) -> None:
    in_memory, _ = compute(tiny_episodes, encoder, tmp_path)
    in_file, _ = compute(tiny_episodes, encoder, tmp_path, memory_bound=0.0)
    assert isinstance(in_file.array, np.memmap)
    np.testing.assert_array_equal(in_file.array, in_memory.array)


def test_a_file_is_found_again_unless_something_is_different(
    tiny_episodes: Episodes, encoder: Encoder, tmp_path: Path
) -> None:
    def said(episodes: Episodes = tiny_episodes, **changes: Any) -> list[str]:
        return compute(episodes, encoder, tmp_path, memory_bound=0.0, **changes)[1]

    assert said()
    assert not said()
    assert said(seed=1)
    assert said(replace(tiny_episodes, images=255 - tiny_episodes.images))
    assert said()
    with torch.no_grad():
        encoder.norm.weight.mul_(1.1)
    assert said()
    assert not said()


def test_an_interrupted_file_is_made_again(
    tiny_episodes: Episodes, encoder: Encoder, tmp_path: Path
) -> None:
    options = {'color_copies': 0, 'seed': 0, 'memory_bound': 0.0, 'processes': Processes()}
    parts = computed_features(tiny_episodes, encoder, tmp_path, **options)
    next(parts)
    parts.close()
    assert (tmp_path / 'features.f16').exists()
    _, said = compute(tiny_episodes, encoder, tmp_path, memory_bound=0.0, color_copies=0)
    assert len(said) == 3  # 10 episodes by 4
