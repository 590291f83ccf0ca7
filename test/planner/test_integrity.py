# SPDX-License-Identifier: Apache-2.0
"""What is found out about a file without executing it."""

from __future__ import annotations

import hashlib
import pickle
import zipfile

import pytest

from vjepa_planner.catalog import CATALOG, RemoteFile
from vjepa_planner.errors import CheckpointError
from vjepa_planner.integrity import _HARMLESS, check_file, files_of, LEGACY, read_structure

torch = pytest.importorskip('torch')
safetensors_torch = pytest.importorskip('safetensors.torch')

TENSORS = {'a': torch.arange(6.0).reshape(2, 3), 'b': torch.zeros(4, dtype=torch.bfloat16)}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'model.pt'
    torch.save({'encoder': TENSORS}, path)
    return path


@pytest.fixture
def safetensors_file(tmp_path):
    path = tmp_path / 'model.safetensors'
    safetensors_torch.save_file(TENSORS, path, metadata={'format': 'pt'})
    return path


def test_what_torch_and_safetensors_write_is_intact(checkpoint, safetensors_file):
    found = read_structure(checkpoint, 'model.pt', deeply=True)
    assert found == 'PyTorch checkpoint, 2 storages, contents intact'
    assert read_structure(safetensors_file, 'model.safetensors') == 'safetensors, 2 tensors'


def test_the_contents_are_compared_with_their_own_checksums(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    place = content.index(TENSORS['a'].numpy().tobytes())
    content[place] ^= 1
    checkpoint.write_bytes(content)
    read_structure(checkpoint, 'model.pt')
    with pytest.raises(CheckpointError, match='Bad CRC-32'):
        read_structure(checkpoint, 'model.pt', deeply=True)


@pytest.mark.parametrize('kept', [0, 3, 100, -1])
def test_cut_files_are_found_out(checkpoint, safetensors_file, kept):
    for path in (checkpoint, safetensors_file):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(CheckpointError):
            read_structure(path, path.name)


def test_damaged_and_compressed_archives_are_found_out(checkpoint):
    content = checkpoint.read_bytes()
    last = content.rindex(b'data/0')
    checkpoint.write_bytes(content[:last] + b'\xfa' + content[last + 1 :])
    with pytest.raises(CheckpointError, match='damaged or incomplete'):
        read_structure(checkpoint, 'model.pt', deeply=True)
    with zipfile.ZipFile(checkpoint, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('model/data.pkl', bytes(1000))
    with pytest.raises(CheckpointError, match='was compressed'):
        read_structure(checkpoint, 'model.pt')


def test_nothing_is_executed(tmp_path, checkpoint):
    class Malicious:
        def __reduce__(self):
            return (tmp_path.joinpath('executed').touch, ())

    for protocol in (2, 4):
        torch.save({'encoder': Malicious()}, checkpoint, pickle_protocol=protocol)
        with pytest.raises(CheckpointError, match='more than plain tensors: it would call'):
            read_structure(checkpoint, 'model.pt')
    assert not (tmp_path / 'executed').exists()


def test_all_that_torch_takes_for_weights_is_harmless():
    from torch._weights_only_unpickler import _get_allowed_globals

    for name in _get_allowed_globals():
        assert _HARMLESS.fullmatch(' '.join(name.rsplit('.', 1))), name
    for name in (
        'posix system',
        'torch load',
        'torch.hub load',
        'builtins eval',
    ):
        assert not _HARMLESS.fullmatch(name), name


def test_the_old_format_of_torch_is_neither_good_nor_bad(tmp_path):
    path = tmp_path / 'old.pt'
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    assert read_structure(path, path.name) == LEGACY
    (_, _, structure) = check_file(path, RemoteFile(name='old.pt', url=''))
    assert structure.passed is None


@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('a.pt', pickle.dumps({}), 'no PyTorch checkpoint: it starts with'),
        ('a.pt', b' <html>', 'like a web page'),
        ('config.json', b'{"a": ', 'not valid JSON'),
        ('config.json', b'[]', 'JSON object'),
        ('config.json', b'[' * 100_000, 'not valid JSON'),
    ],
)
def test_something_else_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        read_structure(tmp_path / name, name)


def test_an_archive_that_torch_did_not_write_is_named(tmp_path, checkpoint):
    with zipfile.ZipFile(checkpoint, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(CheckpointError, match='a ZIP archive, but no PyTorch checkpoint'):
        read_structure(checkpoint, 'model.pt')


def test_known_sizes_and_checksums_are_compared(checkpoint):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    known = RemoteFile(name='model.pt', url='', size=checkpoint.stat().st_size, sha256=digest)
    assert [check.passed for check in check_file(checkpoint, known)] == [True, True, True]
    other = RemoteFile(name='model.pt', url='', size=known.size, sha256=64 * 'a')
    size, checksum, structure = check_file(checkpoint, other)
    assert (size.passed, checksum.passed, structure.passed) == (True, False, True)
    assert digest in checksum.detail
    unknown = check_file(checkpoint, RemoteFile(name='model.pt', url=''))
    assert [check.passed for check in unknown] == [None, None, True]
    assert digest in unknown[1].detail


def test_a_file_of_another_size_is_not_hashed(checkpoint):
    wrong = RemoteFile(name='model.pt', url='', size=5, sha256=64 * 'a')
    assert [check.what for check in check_file(checkpoint, wrong)] == ['size', 'structure']


def test_files_are_recognised_by_their_names(tmp_path, checkpoint):
    official = CATALOG['vjepa2-ac-vitg'].checkpoint
    assert files_of(tmp_path / official.name) == [(tmp_path / official.name, official)]
    assert files_of(checkpoint)[0][1].sha256 is None
    copy = CATALOG['vjepa2-vitl-hf']
    (tmp_path / copy.name).mkdir()
    in_directory = [(tmp_path / copy.name / file.name, file) for file in copy.files]
    assert files_of(tmp_path / copy.name) == in_directory
    assert files_of(tmp_path / copy.name / 'model.safetensors') == in_directory[:1]
    assert [path.name for path, _ in files_of(tmp_path)] == ['model.pt']
    (tmp_path / 'empty').mkdir()
    with pytest.raises(CheckpointError, match='no model files'):
        files_of(tmp_path / 'empty')
    with pytest.raises(CheckpointError, match='no file at'):
        check_file(tmp_path / 'missing.pt', official)
