# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the library's tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

_ROOT = Path(__file__).resolve().parents[2]
# Numbers of the official code: in this repository, and more of them beside some checkouts.
_FOLDERS = (_ROOT / 'test/fixtures/networks', _ROOT.parent / 'shared/fixtures/parity')


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
