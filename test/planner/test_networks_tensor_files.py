# SPDX-License-Identifier: Apache-2.0
"""Files with tensors: only what is asked for is read, and damage is noticed."""

from __future__ import annotations

from pathlib import Path
import pickle
import zipfile

import pytest

torch = pytest.importorskip('torch')
safetensors_torch = pytest.importorskip('safetensors.torch')

from vjepa_planner.errors import CheckpointError  # noqa: E402
from vjepa_planner.networks.stored_tensors import Concatenated, Row  # noqa: E402
from vjepa_planner.networks.tensor_files import (  # noqa: E402
    open_pytorch_file,
    open_safetensors_file,
)


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator)
    return {
        'whole': torch.randn(3, 5, generator=generator),
        'half': torch.randn(7, generator=generator).to(torch.bfloat16),
        'transposed': base.t(),
        'part': base[2:4],
        'number': torch.tensor(3.0),
        'empty': torch.zeros(0, 3),
    }


def _path(tmp_path: Path, content, **options) -> Path:
    path = tmp_path / 'file.pt'
    torch.save(content, path, **options)
    return path


def test_tensors_of_a_pytorch_file_come_back_as_they_were(tmp_path, tensors):
    optimiser = {'state': {0: {'step': torch.ones(2)}}, 'param_groups': [{'params': [0]}]}
    path = _path(tmp_path, {'net': tensors, 'opt': optimiser, 'n': 3})
    content = open_pytorch_file(path)
    assert content['n'] == 3
    for name, tensor in tensors.items():
        stored = content['net'][name]
        assert stored.shape == tensor.shape
        assert stored.dtype == tensor.dtype
        read = stored.read()
        assert torch.equal(read, tensor)
        assert read.is_contiguous()
        assert read.untyped_storage().nbytes() == tensor.nbytes


def test_tensors_of_a_safetensors_file_come_back_as_they_were(tmp_path, tensors):
    path = tmp_path / 'file.safetensors'
    plain = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    safetensors_torch.save_file(plain, path, metadata={'format': 'pt'})
    stored = open_safetensors_file(path)
    assert stored.keys() == plain.keys()
    for name, tensor in plain.items():
        assert torch.equal(stored[name].read(), tensor)


def test_joined_and_split_tensors_read_like_real_ones(tmp_path, tensors):
    stored = open_pytorch_file(_path(tmp_path, tensors))
    joined = Concatenated([stored['part'], stored['part']])
    assert joined.shape == (4, 4)
    assert torch.equal(joined.read(), tensors['part'].repeat(2, 1))
    assert torch.equal(Row(stored['whole'], 2).read(), tensors['whole'][2])


def _flip_a_bit_of(path: Path, tensor) -> None:
    content = bytearray(path.read_bytes())
    start = bytes(content).index(tensor.contiguous().numpy().tobytes())
    content[start + 5] ^= 1
    path.write_bytes(content)


def test_one_wrong_bit_is_noticed_in_the_tensor_that_has_it_only(tmp_path, tensors):
    path = _path(tmp_path, tensors)
    _flip_a_bit_of(path, tensors['whole'])
    content = open_pytorch_file(path)
    with pytest.raises(CheckpointError, match=r'file\.pt is damaged: the checksum of whole'):
        content['whole'].read()
    assert torch.equal(content['half'].read(), tensors['half'])


def test_a_file_without_checksums_is_read_without_checking(tmp_path, tensors):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = _path(tmp_path, tensors)
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(open_pytorch_file(path)['whole'].read(), tensors['whole'])
    _flip_a_bit_of(path, tensors['whole'])
    assert not torch.equal(open_pytorch_file(path)['whole'].read(), tensors['whole'])


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path, tensors):
    path = _path(tmp_path, tensors)
    stored = open_pytorch_file(path)['whole']
    path.write_bytes(path.read_bytes()[: stored.offset + 8])
    with pytest.raises(CheckpointError, match='ends in the middle of whole'):
        stored.read()


class _Hostile:
    def __reduce__(self):
        return print, ('this code must not run',)


def test_no_code_in_a_file_is_run(tmp_path, capsys):
    inside = _path(tmp_path, {'net': _Hostile()})
    bare = tmp_path / 'bare.pt'
    bare.write_bytes(pickle.dumps(_Hostile(), protocol=2))
    for path in (inside, bare):
        with pytest.raises(CheckpointError, match=f'{path.name} .*it could run code'):
            open_pytorch_file(path)
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share, tensors):
    path = _path(tmp_path, {**tensors, 'large': torch.zeros(10_000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        CheckpointError, match=r'file\.pt cannot be read.*Download or copy it again'
    ):
        open_pytorch_file(path)


def test_damage_in_the_list_of_tensors_is_refused(tmp_path, tensors):
    path = _path(tmp_path, tensors)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'whole', b'whOle', 1))
    with pytest.raises(CheckpointError, match=r'file\.pt cannot be read.*Bad CRC-32'):
        open_pytorch_file(path)


def test_records_of_another_size_than_the_tensors_are_refused(tmp_path, tensors):
    path, other = _path(tmp_path, tensors), tmp_path / 'other.pt'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, 'w') as new:
        for record in old.infolist():
            content = old.read(record)
            new.writestr(record, content + b'1234' if '/data/0' in record.filename else content)
    with pytest.raises(CheckpointError, match='do not have the sizes'):
        open_pytorch_file(other)


def test_a_compressed_file_is_refused(tmp_path, tensors):
    path, other = _path(tmp_path, tensors), tmp_path / 'other.pt'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, 'w', zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    with pytest.raises(CheckpointError, match='was compressed'):
        open_pytorch_file(other)


def _rewritten(path: Path, change) -> Path:
    """Return a copy of an archive with the contents that ``change(name, content)`` gives."""
    other = path.with_name('rewritten.pt')
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, 'w') as new:
        for record in old.infolist():
            new.writestr(record.filename, change(record.filename, old.read(record)))
    return other


@pytest.mark.parametrize(
    ('record', 'content', 'said'),
    [
        ('/byteorder', b'big', 'written by a big-endian machine'),
        # A persistent id that is a number.
        ('/data.pkl', b'\x80\x02K\x01Q.', 'cannot be read as a PyTorch checkpoint: '),
        ('/data.pkl', b'', 'EOFError'),
    ],
    ids=['byte order', 'id', 'empty'],
)
def test_contents_that_torch_stumbles_over_are_refused_in_one_line(
    tmp_path, tensors, record, content, said
):
    path = _rewritten(
        _path(tmp_path, tensors), lambda name, old: content if name.endswith(record) else old
    )
    with pytest.raises(CheckpointError, match=said) as error:
        open_pytorch_file(path)
    assert '\n' not in str(error.value)


def test_a_dictionary_that_contains_itself_is_refused(tmp_path):
    content = {}
    content['self'] = content
    with pytest.raises(CheckpointError, match='contain themselves'):
        open_pytorch_file(_path(tmp_path, content))


def test_damage_in_the_names_of_the_records_is_refused(tmp_path, tensors):
    path = _path(tmp_path, tensors)
    content = path.read_bytes()
    last = content.rindex(b'data/0')
    path.write_bytes(content[:last] + b'\xfa' + content[last + 1 :])
    with pytest.raises(CheckpointError, match=r'file\.pt cannot be read'):
        open_pytorch_file(path)


def test_nobody_is_told_to_let_a_file_run_its_code(tmp_path, tensors):
    path = _path(tmp_path, tensors)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('file/constants.pkl', b'')  # as in a TorchScript archive
    with pytest.raises(CheckpointError, match='TorchScript archives') as error:
        open_pytorch_file(path)
    assert 'set to' not in str(error.value)


def test_tensors_that_are_not_what_lies_in_their_storage_stay_as_they_are(tmp_path):
    full = torch.ones(2, 3)
    odd = {
        'sparse': full.to_sparse(),
        'meta': full.to('meta'),
        'negated': torch._neg_view(full),
    }
    content = open_pytorch_file(_path(tmp_path, {**odd, 'plain': full}))
    assert torch.equal(content.pop('plain').read(), full)
    assert all(isinstance(tensor, torch.Tensor) for tensor in content.values())


def test_what_is_no_checkpoint_is_refused_in_words(tmp_path):
    text, empty = tmp_path / 'text.pt', tmp_path / 'empty.pt'
    text.write_text('not a checkpoint')
    empty.touch()
    (tmp_path / 'list').mkdir()
    a_list = _path(tmp_path / 'list', [torch.zeros(1)])
    for path, said in (
        (text, 'is no PyTorch checkpoint'),
        (empty, 'is no PyTorch checkpoint'),
        (tmp_path / 'absent.pt', 'no checkpoint at'),
        (a_list, 'holds a list, expected a dictionary'),
    ):
        with pytest.raises(CheckpointError, match=said):
            open_pytorch_file(path)


def test_number_formats_that_torch_does_not_have_are_refused(tmp_path):
    path = tmp_path / 'eight.safetensors'
    header = b'{"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + b'1234')
    with pytest.raises(CheckpointError, match=r'a has the number format F8_E8M0; weights must'):
        open_safetensors_file(path)
