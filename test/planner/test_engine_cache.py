# SPDX-License-Identifier: Apache-2.0
"""Which engines are trusted, and which are built again."""

from __future__ import annotations

from dataclasses import fields, replace
import json

import pytest

from vjepa_planner.backends.engine_cache import EngineCache, EngineKey

KEY = EngineKey(
    graph='g' * 64,
    weights='w' * 64,
    precision='bfloat16',
    batches=(1, 8),
    tensorrt='11.4.0.106',
    gpu='NVIDIA-GeForce-RTX-4090',
    compute_capability='8.9',
    cuda='13.0',
)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


def test_an_engine_comes_back_as_it_was_stored(cache):
    assert cache.load(KEY) is None
    path = cache.store(KEY, b'engine')
    assert path == cache.path(KEY)
    assert cache.load(KEY) == b'engine'
    cache.store(KEY, b'newer engine')
    assert cache.load(KEY) == b'newer engine'


@pytest.mark.parametrize('name', [field.name for field in fields(EngineKey)])
def test_an_engine_is_only_for_what_it_was_built_from(cache, name):
    cache.store(KEY, b'engine')
    other = (1,) if name == 'batches' else 'other'
    assert cache.load(replace(KEY, **{name: other})) is None


def test_a_damaged_engine_is_not_loaded(cache, caplog):
    path = cache.store(KEY, b'engine')
    path.write_bytes(b'engin')
    assert cache.load(KEY) is None
    assert 'damaged or was built for something else' in caplog.text


def test_an_engine_of_another_gpu_under_this_name_is_not_loaded(cache, caplog):
    foreign = cache.store(replace(KEY, gpu='Orin'), b'for an Orin')
    for source in (foreign, foreign.with_suffix('.json')):
        source.rename(cache.path(KEY).with_suffix(source.suffix))
    assert cache.load(KEY) is None
    assert 'built for something else' in caplog.text


@pytest.mark.parametrize('note', ['', '[]', '{}', '{"key": {}, "sha256": ""}'])
def test_an_engine_with_a_broken_note_is_not_loaded(cache, note):
    path = cache.store(KEY, b'engine')
    path.with_suffix('.json').write_text(note)
    assert cache.load(KEY) is None


def test_an_engine_without_its_note_is_not_loaded(cache):
    path = cache.store(KEY, b'engine')
    path.with_suffix('.json').unlink()
    assert cache.load(KEY) is None


def test_the_note_says_in_words_what_an_engine_is_for(cache):
    note = json.loads(cache.store(KEY, b'engine').with_suffix('.json').read_text())
    assert note['key']['gpu'] == KEY.gpu
    assert note['key']['tensorrt'] == KEY.tensorrt
