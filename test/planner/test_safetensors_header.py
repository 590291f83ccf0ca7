# SPDX-License-Identifier: Apache-2.0
"""What the header of a safetensors file says, and headers that say nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from vjepa_planner.errors import CheckpointError
from vjepa_planner.safetensors_header import read_safetensors_header


def test_it_tells_where_the_data_of_a_tensor_are(tmp_path):
    path = tmp_path / 'a.safetensors'
    tensors = {'a': np.zeros(2, np.float32), 'b': np.arange(3, dtype=np.float16)}
    save_file(tensors, path, metadata={'format': 'np'})
    header, start = read_safetensors_header(path)
    assert header.keys() == tensors.keys()
    assert header['b']['dtype'] == 'F16'
    assert header['b']['shape'] == [3]
    begin, end = header['b']['data_offsets']
    data = path.read_bytes()[start + begin : start + end]
    assert np.frombuffer(data, np.float16).tolist() == [0, 1, 2]


def _file(text: bytes, data: bytes = b'', length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, 'little') + text + data


def _one(**entry) -> bytes:
    return json.dumps(
        {'a': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16], **entry}}
    ).encode()


_16 = bytes(16)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'1234',
        bytes(64),
        *(_file(_one(), _16, length) for length in (0, 1000, 10**12, 2**63, 2**64 - 1)),
        _file(b'{{{{'),
        _file(b'\xff\xfe{}'),
        _file(b'null'),
        _file(b'[1, 2]'),
        _file(b'{"a":' + b'[' * 100_000),
        _file(b'{"a": 5}', _16),
        _file(b'{"a": {"dtype": "F32", "shape": [4]}}', _16),
        _file(_one()[:-1] + b', ' + _one()[1:], _16),
        _file(_one(), _16[:-1]),
        _file(_one(), _16 + b'1'),
        _file(_one(data_offsets=[0, 12]), _16[:12]),
        _file(_one(data_offsets=[4, 20]), _16 + b'1234'),
        _file(_one(data_offsets=[0.0, 16.0]), _16),
        _file(_one(data_offsets=[-16, 0]), b''),
        _file(_one(shape=[-2, -2]), _16),
        _file(_one(shape='ab'), _16),
        _file(_one(shape=[2**62, 4]), _16),
        _file(_one(dtype='F33'), _16),
        _file(_one(dtype=[]), _16),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / 'bad.safetensors'
    path.write_bytes(content)
    said = r'bad\.safetensors cannot be read as a safetensors file: .*Download or copy it again'
    with pytest.raises(CheckpointError, match=said) as error:
        read_safetensors_header(path)
    assert '\n' not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'has no a\.safetensors'):
        read_safetensors_header(tmp_path / 'a.safetensors')
