# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
import shutil

import pytest

pytest.importorskip('torch')
pytest.importorskip('onnx')

from vjepa_planner.backends import backend_class
from vjepa_planner.cli import main
from vjepa_planner.errors import MissingDependencyError
from vjepa_planner.export import parity
from vjepa_planner.networks import load_networks, save_model_directory


def export(model: Path, *more: str, backend: str = 'onnxruntime') -> int:
    arguments = ['export', '--model', str(model), '--backend', backend, '--candidates', '16']
    return main([*arguments, '--horizon', '1', *more])


def test_a_model_is_exported_and_proves_to_compute_the_same(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / 'out', tmp_path / 'report.json'
    assert export(tiny_model, '--out', str(out), '--json', str(report)) == 0
    *files, engine, heading, encoder, predictor, energy = capsys.readouterr().out.splitlines()
    assert [Path(file).name for file in files] == [
        'encoder-2x32x32-float32.onnx',
        'predictor-1x4-float32.onnx',
    ]
    assert 'CPUExecutionProvider' in engine
    assert 'rank corr.' in heading
    assert all(line.endswith('ok') for line in (encoder, predictor, energy))
    content = json.loads(report.read_text())
    assert content['within'] is True
    assert content['files'] == files
    assert {line['what'] for line in content['comparisons']} >= {'encoder', 'energy, 1 step'}
    backend_class('onnxruntime').load(out, 'cpu', 'float32')


def test_a_missed_tolerance_is_an_error(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = parity.Tolerances(error=0.0, cosine=1.1, rank=1.1)
    monkeypatch.setitem(parity.TOLERANCES, 'float32', strict)
    report = tmp_path / 'report.json'
    assert export(tiny_model, '--json', str(report)) == 1
    assert json.loads(report.read_text())['within'] is False


def test_building_only_runs_nothing(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # With bfloat16, which ONNX Runtime could not run on a CPU.
    options = ['--out', str(tmp_path), '--build-only', '--precision', 'bfloat16']
    assert export(tiny_model, *options) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_exporting_again_mends_what_was_damaged(tiny_model: Path, tmp_path: Path) -> None:
    out = shutil.copytree(tiny_model, tmp_path / 'out')
    assert export(out, '--out', str(out), '--build-only') == 0
    (out / 'encoder-2x32x32-float32.onnx').write_bytes(b'')
    assert export(out, '--out', str(out)) == 0


def test_another_model_is_never_mixed_with_the_one_that_is_there(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / 'out', shutil.copytree(tiny_model, tmp_path / 'other')
    for precision in ('float32', 'bfloat16'):  # the same model, twice
        options = ['--out', str(out), '--build-only', '--precision', precision]
        assert export(tiny_model, *options) == 0
    assert (out / 'encoder-2x32x32-float32.onnx').is_file()
    networks = load_networks(other)
    networks.encoder.norm.bias.data += 1
    extra = {'image_size': 32, 'planner': networks.config['planner']}
    save_model_directory(other, networks.encoder, networks.predictor, extra)
    before = (out / 'encoder.safetensors').read_bytes()
    assert export(other, '--out', str(out)) == 1
    assert f'{out} holds another model than {other}' in capsys.readouterr().err
    assert (out / 'encoder.safetensors').read_bytes() == before


@pytest.mark.parametrize('option', ['--horizon', '--candidates'])
def test_numbers_that_make_no_sense_are_refused(
    tiny_model: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tiny_model, option, '0') == 1
    assert option in capsys.readouterr().err


def test_a_missing_engine_is_named_before_the_work(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        backend_class('tensorrt')
    except MissingDependencyError:
        pass
    else:
        pytest.skip('TensorRT is installed')
    assert export(tiny_model, '--out', str(tmp_path / 'out'), backend='tensorrt') == 1
    assert "pip install 'vjepa_ros[tensorrt]'" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
