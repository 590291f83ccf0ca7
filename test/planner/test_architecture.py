# SPDX-License-Identifier: Apache-2.0
"""Which package may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROS = ('rclpy', 'rosidl_', 'ament_', 'launch', 'tf2', 'cv_bridge', 'vjepa_ros', 'vjepa_msgs')
ROS_MESSAGES = ('_msgs', '_interfaces', '_srvs')
ENGINES = ('torch', 'onnxruntime', 'tensorrt', 'mujoco')
# Only these may need torch.
TORCH_FOLDERS = ('networks', 'backends', 'export', 'training')


def _modules_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _sources(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob('*.py'))
    assert files, package
    return files


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', _sources('vjepa_planner'), ids=_name)
def test_the_library_knows_nothing_about_ros(path):
    for module in _modules_imported(path):
        top = module.split('.')[0]
        assert not top.startswith(ROS), module
        assert not top.endswith(ROS_MESSAGES), module


@pytest.mark.parametrize('path', _sources('vjepa_ros'), ids=_name)
def test_the_nodes_leave_engines_and_simulator_to_the_library(path):
    tops = {module.split('.')[0] for module in _modules_imported(path)}
    assert not tops & set(ENGINES)


@pytest.mark.parametrize('path', _sources('vjepa_planner'), ids=_name)
def test_torch_stays_where_networks_are_made_run_exported_and_trained(path):
    if path.relative_to(ROOT / 'vjepa_planner').parts[0] in TORCH_FOLDERS:
        return
    assert 'torch' not in {module.split('.')[0] for module in _modules_imported(path)}
