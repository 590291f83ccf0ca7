# SPDX-License-Identifier: Apache-2.0
"""Which build of torch the set-up takes: real pip, on package indexes made of small wheels."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
import zipfile

import pytest

TOOL = Path(__file__).resolve().parent.parent / 'tools' / 'install_requirements.py'
CUDA = 'Requires-Dist: nvidia-cublas==13.1; platform_system == "Linux"\n'


def write_torch(folder: Path, version: str, metadata: str = '') -> None:
    """Write a wheel named torch without content into a package index."""
    index = folder / 'torch'
    index.mkdir(parents=True, exist_ok=True)
    info = f'torch-{version}.dist-info'
    with zipfile.ZipFile(index / f'torch-{version}-py3-none-any.whl', 'w') as wheel:
        head = f'Metadata-Version: 2.1\nName: torch\nVersion: {version}\n'
        wheel.writestr(f'{info}/METADATA', head + metadata)
        tags = 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
        wheel.writestr(f'{info}/WHEEL', tags)
        wheel.writestr(f'{info}/RECORD', '')
    links = (f'<a href="{path.name}">{path.name}</a>' for path in index.glob('*.whl'))
    (index / 'index.html').write_text('<html><body>' + '\n'.join(links) + '</body></html>')


@pytest.fixture
def version() -> str:
    """Return the version of torch that requirements/torch.txt asks for."""
    requirements = TOOL.parent.parent / 'requirements' / 'torch.txt'
    return requirements.read_text().strip().rpartition('==')[2]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the tool on a machine without a GPU, with two empty package indexes."""
    for name in ('own', 'cpu'):
        (tmp_path / name).mkdir()
    monkeypatch.setenv('PIP_CONFIG_FILE', '/dev/null')
    monkeypatch.setenv('PIP_INDEX_URL', (tmp_path / 'own').as_uri())
    for variable in ('PIP_FIND_LINKS', 'PIP_EXTRA_INDEX_URL', 'PIP_NO_INDEX', 'TORCH'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('TORCH_CPU_INDEX', (tmp_path / 'cpu').as_uri())
    spec = spec_from_file_location('install_requirements', TOOL)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'LOG', tmp_path / 'pip.log')
    monkeypatch.setattr(module, 'has_nvidia_gpu', lambda: False)
    return module


def test_a_cpu_build_among_the_own_sources_is_taken(tool, tmp_path, version):
    write_torch(tmp_path / 'own', version, CUDA)
    write_torch(tmp_path / 'own', f'{version}+cpu')
    assert tool.choose_torch() == [f'torch=={version}+cpu']


def test_without_one_it_comes_from_the_index_of_cpu_builds(tool, tmp_path, version):
    write_torch(tmp_path / 'own', version, CUDA)
    write_torch(tmp_path / 'cpu', f'{version}+cpu')
    index = (tmp_path / 'cpu').as_uri()
    assert tool.choose_torch() == [f'torch=={version}+cpu', '--extra-index-url', index]


def test_a_default_build_without_cuda_is_good_as_well(tool, tmp_path, version):
    write_torch(tmp_path / 'own', version)
    assert tool.choose_torch() == [f'torch=={version}']


def test_cuda_packages_are_never_installed_unasked(tool, tmp_path, version):
    write_torch(tmp_path / 'own', version, CUDA)
    with pytest.raises(SystemExit, match='TORCH=cuda'):
        tool.choose_torch()


def test_a_gpu_gets_the_default_build(tool, monkeypatch, version):
    monkeypatch.setattr(tool, 'has_nvidia_gpu', lambda: True)
    assert tool.choose_torch() == [f'torch=={version}']


def test_the_choice_can_be_forced(tool, monkeypatch, version):
    monkeypatch.setenv('TORCH', 'cuda')
    assert tool.choose_torch() == [f'torch=={version}']
    monkeypatch.setenv('TORCH', 'none')
    assert tool.choose_torch() == []
    monkeypatch.setenv('TORCH', 'gpu')
    with pytest.raises(SystemExit, match='auto, cpu, cuda or none'):
        tool.choose_torch()
