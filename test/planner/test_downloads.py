# SPDX-License-Identifier: Apache-2.0
"""Downloads over real HTTP on this machine: interruptions, wrong answers, no room, no network."""

from __future__ import annotations

from dataclasses import replace
import fcntl
import hashlib
import io
import json
import logging
import shutil
import socket
from types import SimpleNamespace
import zipfile

import pytest

from vjepa_planner import downloads
from vjepa_planner.catalog import CATALOG, RemoteFile
from vjepa_planner.downloads import download_file, download_model, DownloadError, UnreachableError


def checkpoint_bytes(size: int = 600_000) -> bytes:
    """Return an archive as torch.save makes it, of incompressible contents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02}.')
        content = b''.join(hashlib.sha256(bytes([k % 251, k // 251])).digest() for k in range(999))
        archive.writestr('archive/data/0', (content * (size // len(content) + 1))[:size])
    return stream.getvalue()


CONTENT = checkpoint_bytes()


@pytest.fixture(autouse=True)
def _no_detours(monkeypatch):
    """No proxy, no waiting."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(downloads, 'RETRY_DELAYS', (0.0, 0.0))


@pytest.fixture(autouse=True)
def _files(server):
    server.files['model.pt'] = CONTENT


def remote(server, **changes) -> RemoteFile:
    known = RemoteFile(
        name='model.pt',
        url=f'{server.url}/model.pt',
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    return replace(known, **changes)


def leftovers(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_nothing_else_is_left(server, tmp_path):
    reported = []
    path = download_file(remote(server), tmp_path / 'new', lambda *n: reported.append(n))
    assert path.read_bytes() == CONTENT
    assert leftovers(tmp_path / 'new') == ['model.pt']
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert server.range_headers == [None]
    assert 'urllib' not in server.requests[0]['User-Agent'].lower()


def test_a_cut_connection_goes_on_where_it_was_cut(server, tmp_path, caplog):
    server.cuts = [200_000, 100_000]
    with caplog.at_level(logging.WARNING):
        assert download_file(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.range_headers == [None, 'bytes=200000-', 'bytes=300000-']
    assert server.requests[1]['If-Range'] == '"v1"'
    assert 'the connection was cut at 200000 of' in caplog.text
    assert 'trying again' in caplog.text


def test_a_later_run_goes_on_with_the_part_of_an_earlier_one(server, tmp_path):
    server.cuts = [250_000]
    server.statuses = [200, 404]
    with pytest.raises(DownloadError, match='404'):
        download_file(remote(server), tmp_path)
    assert (tmp_path / 'model.pt.part').stat().st_size == 250_000
    assert download_file(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.range_headers == [None, 'bytes=250000-', 'bytes=250000-']


def test_a_server_without_ranges_starts_again_from_zero(server, tmp_path):
    server.ranges = False
    server.cuts = [300_000]
    assert download_file(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.range_headers == [None, 'bytes=300000-']


def test_a_redirection_does_not_forget_what_is_here(server, tmp_path):
    server.cuts = [200_000]
    moved = remote(server, url=f'{server.url}/moved/model.pt')
    assert download_file(moved, tmp_path).read_bytes() == CONTENT
    assert server.paths == 2 * ['/moved/model.pt', '/model.pt']
    assert server.range_headers == [None, None, 'bytes=200000-', 'bytes=200000-']


def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server, tmp_path):
    (tmp_path / 'model.pt.part').write_bytes(b'old' * 1000)
    (tmp_path / 'model.pt.part.etag').write_text('"v0"')
    unknown = remote(server, size=None, sha256=None)
    assert download_file(unknown, tmp_path).read_bytes() == CONTENT
    assert server.range_headers == ['bytes=3000-']


@pytest.mark.parametrize('size', [len(CONTENT), None])
def test_a_part_that_is_complete_is_only_checked(server, tmp_path, size):
    (tmp_path / 'model.pt.part').write_bytes(CONTENT)
    assert download_file(remote(server, size=size), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == (0 if size else 1)


def test_a_part_that_is_too_long_is_thrown_away(server, tmp_path):
    (tmp_path / 'model.pt.part').write_bytes(CONTENT + b'more')
    assert download_file(remote(server), tmp_path).read_bytes() == CONTENT


def test_another_size_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(DownloadError, match=rf'offers {len(CONTENT)} bytes, but .* has 123'):
        download_file(remote(server, size=123), tmp_path)
    assert 'model.pt' not in leftovers(tmp_path)


@pytest.mark.parametrize(
    ('content', 'changes', 'said'),
    [
        (CONTENT, {'sha256': 64 * '0'}, 'sha256'),
        (CONTENT[:-100], {'size': None, 'sha256': None}, 'damaged or incomplete'),
        (b'<html>Log in</html>', {'size': None, 'sha256': None}, 'like a web page'),
        (CONTENT.replace(CONTENT[1000:1032], 32 * b'x'), {'sha256': None}, 'Bad CRC-32'),
    ],
    ids=['checksum', 'cut', 'web page', 'damaged'],
)
def test_a_wrong_file_is_not_kept_under_its_name(server, tmp_path, content, changes, said):
    server.files['model.pt'] = content
    with pytest.raises(DownloadError, match=said):
        download_file(remote(server, **changes), tmp_path)
    assert leftovers(tmp_path) == ['model.pt.rejected']


@pytest.mark.parametrize('status', [403, 404, 410])
def test_what_is_not_there_is_said_at_once(server, tmp_path, status):
    server.statuses = [status]
    with pytest.raises(DownloadError, match=f'the server says {status}'):
        download_file(remote(server), tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    assert download_file(remote(server), tmp_path).read_bytes() == CONTENT


def test_attempts_that_bring_nothing_come_to_an_end(server, tmp_path):
    (tmp_path / 'model.pt.part').write_bytes(CONTENT[:100_000])
    server.cuts = [0] * 10
    with pytest.raises(UnreachableError, match=r'100 kB are kept .* again to go on'):
        download_file(remote(server), tmp_path)
    assert len(server.requests) == 3


def test_without_a_network_the_proxy_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{free.getsockname()[1]}/model.pt'
    with pytest.raises(UnreachableError, match=r'127\.0\.0\.1: .*https_proxy'):
        download_file(RemoteFile(name='model.pt', url=url), tmp_path)
    assert leftovers(tmp_path) == []


def test_proxies_of_the_environment_are_used(server, tmp_path, monkeypatch):
    monkeypatch.delenv('no_proxy')
    monkeypatch.delenv('NO_PROXY', raising=False)
    monkeypatch.setenv('http_proxy', server.url)
    elsewhere = remote(server, url='http://models.invalid/model.pt')
    assert download_file(elsewhere, tmp_path).read_bytes() == CONTENT
    assert server.paths == ['http://models.invalid/model.pt']


def test_room_is_made_sure_of_before_anything_is_received(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match=r'1 kB free, 600 kB are needed.*--to'):
        download_file(remote(server), tmp_path)
    assert (tmp_path / 'model.pt.part').stat().st_size == 0


def test_two_processes_do_not_write_the_same_part(server, tmp_path):
    with (tmp_path / 'model.pt.part').open('ab') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match='another process'):
            download_file(remote(server), tmp_path)


@pytest.fixture
def entry(server):
    official = CATALOG['vjepa2-ac-vitg']
    return replace(official, files=(remote(server),))


def test_an_official_file_gets_a_config_with_what_goes_with_it(entry, tmp_path):
    path, downloaded = download_model(entry, tmp_path)
    assert (path, downloaded) == (tmp_path / 'vjepa2-ac-vitg' / 'model.pt', True)
    config = json.loads((path.parent / 'config.json').read_text())
    assert (config['crop'], config['ee_frame'], config['img_size']) == ('squash', 'fr3_link8', 256)
    assert config['planner']['num_samples'] == 800


def test_a_model_that_is_here_is_not_downloaded_again_and_keeps_its_config(
    entry, server, tmp_path
):
    path, _ = download_model(entry, tmp_path)
    (path.parent / 'config.json').write_text('{"crop": "square"}')
    assert download_model(entry, tmp_path) == (path, False)
    assert len(server.requests) == 1
    assert json.loads((path.parent / 'config.json').read_text()) == {'crop': 'square'}
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match='1000 bytes instead of'):
        download_model(entry, tmp_path)


def test_a_downloaded_world_model_is_loaded_by_its_name(server, official, tmp_path, monkeypatch):
    pytest.importorskip('torch')
    from vjepa_planner.world_model import load_world_model

    content = official.ac_checkpoint.read_bytes()
    server.files['vjepa2-ac-vitg.pt'] = content
    known = CATALOG['vjepa2-ac-vitg'].from_mirror(server.url)
    small = replace(known.checkpoint, size=len(content), sha256=None)
    download_model(replace(known, files=(small,)), tmp_path)
    monkeypatch.setenv('VJEPA_MODELS', str(tmp_path))
    config = load_world_model('vjepa2-ac-vitg', device='cpu').config
    assert (config.name, config.image_size) == ('vjepa2-ac-vitg', (256, 256))
    assert (config.crop, config.ee_frame) == ('squash', 'fr3_link8')
    assert config.planner == CATALOG['vjepa2-ac-vitg'].settings['planner']


def test_a_hugging_face_model_is_complete_with_its_config_only(server, tmp_path):
    tensors = json.dumps({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}).encode()
    weights = len(tensors).to_bytes(8, 'little') + tensors + bytes(8)
    server.files = {'model.safetensors': weights}
    entry = CATALOG['vjepa2-vith-hf'].from_mirror(server.url)
    with pytest.raises(DownloadError, match='404'):
        download_model(entry, tmp_path)
    directory = tmp_path / 'vjepa2-vith-hf'
    assert not (directory / 'config.json').exists()
    server.files['config.json'] = b'{"model_type": "vjepa2"}'
    assert download_model(entry, tmp_path) == (directory, True)
    assert server.paths == ['/model.safetensors', '/config.json', '/config.json']
    assert json.loads((directory / 'config.json').read_text()) == {'model_type': 'vjepa2'}


def test_a_directory_serves_where_there_is_no_network(tmp_path):
    stick = tmp_path / 'usb stick'
    stick.mkdir()
    (stick / 'vith.pt').write_bytes(CONTENT)
    entry = CATALOG['vjepa2-vith'].from_mirror(str(stick))
    path, _ = download_model(entry, tmp_path / 'models')
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ['config.json', 'vith.pt']
