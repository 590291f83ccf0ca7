# SPDX-License-Identifier: Apache-2.0
"""``vjepa models``: as somebody uses it who wants the official weights."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from vjepa_planner import downloads
from vjepa_planner.catalog import CATALOG
from vjepa_planner.cli import main

VJEPA = 'import sys; from vjepa_planner.cli import main; sys.exit(main())'


def checkpoint_bytes(size: int) -> bytes:
    """Return an archive as torch.save makes it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02}.')
        archive.writestr('archive/data/0', os.urandom(size))
    return stream.getvalue()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The folder for downloads; no proxy, no waiting."""
    monkeypatch.setenv('VJEPA_MODELS', str(tmp_path / 'models'))
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(downloads, 'RETRY_DELAYS', (0.0,))
    return tmp_path / 'models'


def run(*arguments: str | Path) -> int:
    return main(['models', *map(str, arguments)])


def test_all_models_are_listed_and_what_is_here(folder, server, tmp_path, capsys):
    server.files['vith.pt'] = checkpoint_bytes(1000)
    assert run('download', 'vjepa2-vith', '--from', server.url) == 0
    (folder / 'vjepa2-vitl').mkdir()
    (folder / 'vjepa2-vitl' / 'vitl.pt.part').write_bytes(bytes(5000))
    capsys.readouterr()
    assert run('list', '--json', tmp_path / 'list.json') == 0
    table = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert {'NAME', 'franka-sim', *CATALOG} <= set(table)
    assert table['franka-sim'].split()[-2:] == ['Apache-2.0', 'yes']
    assert table['vjepa2-vith'].endswith('yes')
    assert table['vjepa2-vitl'].endswith('part, 5 kB')
    assert table['vjepa2-ac-droid'].split()[-2:] == ['CC-BY-NC-4.0', 'no']
    (row,) = (
        row
        for row in json.loads((tmp_path / 'list.json').read_text())['models']
        if row['name'] == 'vjepa2-ac-vitg'
    )
    assert (row['task'], row['size'], row['here']) == ('encode, plan', '11.76 GB', 'no')


def test_a_damaged_directory_does_not_hide_the_others(folder, capsys):
    (folder / 'mine').mkdir(parents=True)
    (folder / 'mine' / 'config.json').write_text('{')
    assert run('list') == 0
    output = capsys.readouterr().out
    assert 'damaged config.json' in output
    assert 'franka-sim' in output
    assert run('show', 'mine') == 1
    assert 'not valid JSON' in capsys.readouterr().err


@pytest.mark.parametrize('name', CATALOG)
def test_a_published_model_is_shown_with_everything_to_get_it(name, tmp_path, capsys):
    assert run('show', name, '--json', tmp_path / 'show.json') == 0
    text, entry = capsys.readouterr().out, CATALOG[name]
    for file in entry.files:
        assert file.url in text
        assert (file.sha256 or 'not known') in text
    for said in (entry.licence, entry.paper, entry.page, *entry.traps):
        assert said in text
    assert f'vjepa models download {name}\n' in text
    assert f'vjepa models download {name} --from THAT_DIRECTORY' in text
    assert ('NON-COMMERCIAL' in text) == (name == 'vjepa2-ac-droid')
    assert json.loads((tmp_path / 'show.json').read_text())['files'][0]['url'] in text


def test_a_model_of_this_machine_is_shown_with_its_card(capsys):
    assert run('show', 'franka-sim') == 0
    text = capsys.readouterr().out
    assert 'models/franka-sim/README.md' in text
    assert 'vjepa plan --model franka-sim' in text
    assert '"num_samples": 48' in text


@pytest.mark.parametrize('part', ['show', 'download', 'verify'])
def test_a_misspelt_name_is_one_line(part, capsys):
    assert run(part, 'vjepa2-ac-vitgg') == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'vjepa2-ac-vitg'?" in line


def test_a_download_says_the_licence_and_how_to_go_on(folder, server, tmp_path, capsys):
    server.files['vith.pt'] = checkpoint_bytes(1000)
    command = ['download', 'vjepa2-vith', '--from', server.url, '--json', tmp_path / 'a.json']
    assert run(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('licence      MIT (repository)')
    path = folder / 'vjepa2-vith' / 'vith.pt'
    assert f'downloaded: {path}' in lines
    assert lines[-1] == '  vjepa encode --model vjepa2-vith VIDEO_OR_IMAGES'
    assert json.loads((tmp_path / 'a.json').read_text())['path'] == str(path)
    assert run(*command) == 0
    assert f'already here: {path}' in capsys.readouterr().out
    assert len(server.requests) == 1


def test_elsewhere_the_path_is_what_to_go_on_with(server, tmp_path, capsys):
    server.files['vith.pt'] = checkpoint_bytes(1000)
    place = tmp_path / 'elsewhere'
    assert run('download', 'vjepa2-vith', '--from', server.url, '--to', place) == 0
    assert f'--model {place / "vjepa2-vith" / "vith.pt"}' in capsys.readouterr().out


def test_without_a_network_the_licence_and_the_way_around_are_said(server, tmp_path, capsys):
    server.statuses = [503] * 9
    place = tmp_path / 'elsewhere'
    command = ['download', 'vjepa2-ac-droid', '--from', server.url, '--to', place]
    assert run(*command) == 1
    output = capsys.readouterr()
    text = output.out
    assert text.index('NON-COMMERCIAL USE ONLY') < text.index('Without a network here')
    assert CATALOG['vjepa2-ac-droid'].checkpoint.url in text
    assert f'--from THAT_DIRECTORY --to {place}' in text
    assert output.err.splitlines()[-1].startswith('vjepa models: 127.0.0.1: 503')


def test_verify_finds_damage_and_says_so_with_its_exit_status(folder, server, tmp_path, capsys):
    server.files['vith.pt'] = checkpoint_bytes(1000)
    assert run('download', 'vjepa2-vith', '--from', server.url) == 0
    assert run('verify', 'vjepa2-vith', '--json', tmp_path / 'checks.json') == 0
    result = json.loads((tmp_path / 'checks.json').read_text())
    assert result['passed']
    assert [check['passed'] for check in result['checks']] == [None, None, True]
    path = folder / 'vjepa2-vith' / 'vith.pt'
    path.write_bytes(path.read_bytes()[:-10])
    capsys.readouterr()
    assert run('verify', path) == 1
    assert 'WRONG    ' in capsys.readouterr().out
    assert run('verify', 'franka-sim') == 0


def test_verify_knows_official_files_by_their_names(tmp_path, capsys):
    path = tmp_path / 'vjepa2-ac-vitg.pt'
    path.write_bytes(checkpoint_bytes(1000))
    assert run('verify', path) == 1
    assert 'expected 11760743310' in capsys.readouterr().out


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C as a person does: again, if Python dropped the first in a destructor."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=20)
    raise AssertionError('three times Ctrl-C did not end it')


def test_ctrl_c_keeps_the_part_and_the_next_run_goes_on(folder, server):
    content = checkpoint_bytes(1_000_000)
    server.files['vith.pt'] = content
    server.hold_at = 400_000
    command = [sys.executable, '-c', VJEPA, 'models', 'download', 'vjepa2-vith']
    command += ['--from', server.url]
    part = folder / 'vjepa2-vith' / 'vith.pt.part'
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    with subprocess.Popen(command, **pipes) as first:
        deadline = time.monotonic() + 60
        while not part.is_file() or part.stat().st_size < server.hold_at:
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        output, errors = interrupt(first)
    assert first.returncode == 130
    assert 'the same command goes on from there' in output
    assert errors.splitlines()[-1] == 'vjepa models: interrupted'
    assert not part.with_suffix('').exists()
    kept = part.stat().st_size
    assert kept >= server.hold_at
    server.hold_at = None
    second = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert 'downloaded: ' in second.stdout
    assert part.with_suffix('').read_bytes() == content
    assert server.range_headers == [None, f'bytes={kept}-']
