# SPDX-License-Identifier: Apache-2.0
"""What users import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vjepa_planner


def test_every_public_name_can_be_imported_and_is_listed():
    assert len(vjepa_planner.__all__) == len(set(vjepa_planner.__all__)) <= 20
    for name in vjepa_planner.__all__:
        assert getattr(vjepa_planner, name) is not None
        assert name in dir(vjepa_planner)


def test_every_public_name_has_a_module():
    assert set(vjepa_planner._MODULES) == set(vjepa_planner.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match='no attribute'):
        _ = vjepa_planner.load_the_world  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    'statement',
    [
        'import vjepa_planner',
        'from vjepa_planner import ModelPredictiveController, Observation, Goal, make_planner',
        'import vjepa_planner.geometry, vjepa_planner.preprocessing',
        'from vjepa_planner import load_world_model',
    ],
)
def test_importing_the_library_does_not_import_torch(statement):
    check = f'{statement}; import sys; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', check], check=False).returncode == 0
