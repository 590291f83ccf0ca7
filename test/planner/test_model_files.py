# SPDX-License-Identifier: Apache-2.0
"""Where models are found: by path, by name, downloaded or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vjepa_planner.errors import CheckpointError, UnknownNameError, VjepaPlannerError
from vjepa_planner.model_files import (
    available_models,
    download_folder,
    find_model,
    find_model_directory,
    model_folders,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The folder for downloads, and a working directory without models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('VJEPA_MODELS', str(tmp_path / 'downloads'))
    return tmp_path / 'downloads'


def put(folder: Path, *files: str) -> None:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text('{}')


def test_downloads_go_where_the_environment_says(monkeypatch, tmp_path):
    assert download_folder() == tmp_path / 'downloads'
    monkeypatch.delenv('VJEPA_MODELS')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert download_folder() == tmp_path / 'cache' / 'vjepa_ros' / 'models'
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    for invalid in ('', 'relative'):
        monkeypatch.setenv('XDG_CACHE_HOME', invalid)
        assert download_folder() == tmp_path / 'home' / '.cache' / 'vjepa_ros' / 'models'


def test_a_user_without_home_directory_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv('VJEPA_MODELS')
    monkeypatch.delenv('XDG_CACHE_HOME')

    def homeless() -> Path:
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'home', homeless)
    with pytest.raises(VjepaPlannerError, match='Set HOME or XDG_CACHE_HOME'):
        download_folder()


def test_a_downloaded_model_is_found_by_its_name(folder):
    put(folder / 'vjepa2-ac-vitg', 'vjepa2-ac-vitg.pt', 'config.json')
    put(folder / 'vjepa2.1-vitb', 'vjepa2_1_vitb_dist_vitG_384.pt', 'config.json')
    put(folder / 'vjepa2-vitl-hf', 'model.safetensors', 'config.json')
    assert find_model('vjepa2-ac-vitg') == folder / 'vjepa2-ac-vitg' / 'vjepa2-ac-vitg.pt'
    assert find_model('vjepa2.1-vitb').name == 'vjepa2_1_vitb_dist_vitG_384.pt'
    assert find_model('vjepa2-vitl-hf') == folder / 'vjepa2-vitl-hf'
    assert {'vjepa2-ac-vitg', 'vjepa2-vitl-hf'} <= set(available_models())
    assert folder in model_folders()


def test_a_known_model_that_is_not_here_can_be_downloaded(folder):
    for name in ('vjepa2-ac-vitg', 'vjepa2.1-vitb'):
        with pytest.raises(CheckpointError, match=f'vjepa models download {name}$'):
            find_model(name)
    put(folder / 'vjepa2-vitl', 'vitl.pt.part')
    assert find_model_directory('vjepa2-vitl') is None
    put(folder / 'vjepa2-vith', 'config.json')
    with pytest.raises(CheckpointError, match=r'has no vith\.pt.*download vjepa2-vith --to'):
        find_model('vjepa2-vith')


def test_a_name_that_nobody_knows_is_compared_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="Did you mean 'vjepa2-ac-vitg'"):
        find_model('vjepa2-ac-vitgg')
    with pytest.raises(UnknownNameError, match='franka-sim'):
        find_model('vjepa2.1-vitx')


@pytest.mark.parametrize('path', ['weights.pt', 'some/vitl.pt', '/nowhere/model'])
def test_a_path_where_nothing_is_is_said_to_be_one(path):
    with pytest.raises(CheckpointError, match=f'no model at {path}'):
        find_model(path)
    assert find_model_directory('/nowhere/model') is None
