# SPDX-License-Identifier: Apache-2.0
"""The catalogue agrees with the networks, with itself, and with the model cards."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from vjepa_planner.catalog import CATALOG, entry_for_path, find_entry
from vjepa_planner.catalog.entry import format_bytes, training_file_size, weights_size
from vjepa_planner.errors import InvalidInputError, UnknownNameError
from vjepa_planner.model_directory import CONFIG_FILE
from vjepa_planner.planners import make_recommended_planner
from vjepa_planner.preprocessing import CROPS

ROOT = Path(__file__).resolve().parents[2]
CARDS = ROOT / 'models'
ENTRIES = pytest.mark.parametrize('entry', CATALOG.values(), ids=CATALOG)
PLANNING = [entry for entry in CATALOG.values() if 'plan' in entry.task]


def sizes_of(entry) -> dict[str, int]:
    """Return the sizes that the architecture's text gives for the encoder."""
    match = re.search(r'width (\d+), (\d+) blocks, (\d+) heads', entry.architecture)
    width, depth, heads = map(int, match.groups())
    return {'embed_dim': width, 'depth': depth, 'num_heads': heads}


@ENTRIES
def test_files_have_distinct_names_addresses_and_well_formed_checksums(entry):
    assert re.fullmatch(r'[a-z0-9.-]+', entry.name)
    for file in entry.files:
        assert file.url.startswith('https://')
        assert 'localhost' not in file.url
        assert file.url.endswith(f'/{file.name}')
        assert file.sha256 is None or re.fullmatch(r'[0-9a-f]{64}', file.sha256)
        assert (file.size or file.sha256) is None or file.source
    assert entry.is_directory == (entry.files[-1].name == CONFIG_FILE)
    assert set(entry.needs) <= set(CATALOG)


def test_file_names_tell_official_checkpoints_apart(tmp_path):
    files = [e.checkpoint.name for e in CATALOG.values() if not e.is_directory]
    assert len(files) == len(set(files))
    assert entry_for_path(Path('anywhere/vjepa2-ac-vitg.pt')) is CATALOG['vjepa2-ac-vitg']
    assert entry_for_path(Path('vjepa2_1_vitG_384.pt')) is CATALOG['vjepa2.1-vitgigantic']
    assert entry_for_path(Path('vjepa2_1_vitg_384.pt')) is CATALOG['vjepa2.1-vitg']
    assert entry_for_path(Path('mine.pt')) is None
    assert entry_for_path(Path('model.safetensors')) is None
    for name, known in (('vjepa2-vitl-hf', True), ('vjepa2-vitl', False), ('mine', False)):
        (tmp_path / name).mkdir()
        assert (entry_for_path(tmp_path / name) is not None) == known


def test_an_unknown_name_is_compared_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'vjepa2-vitl'"):
        find_entry('vjepa2-vit1')


@pytest.mark.parametrize('name', ['vjepa2-vitl', 'vjepa2-vith', 'vjepa2-vitg'])
def test_parameters_of_encoder_and_masked_predictor_are_those_of_the_networks(name):
    torch = pytest.importorskip('torch')
    from vjepa_planner.networks import EncoderConfig
    from vjepa_planner.networks.config import MaskedPredictorConfig
    from vjepa_planner.networks.encoder import Encoder
    from vjepa_planner.networks.masked_predictor import MaskedPredictor

    entry = CATALOG[name]
    sizes = sizes_of(entry)
    ratio = 48 / 11 if name == 'vjepa2-vitg' else 4.0
    with torch.device('meta'):
        encoder = Encoder(EncoderConfig(**sizes, mlp_ratio=ratio))
        predictor = MaskedPredictor(MaskedPredictorConfig(embed_dim=sizes['embed_dim']))
    assert sum(p.numel() for p in encoder.parameters()) == entry.encoder_parameters
    assert sum(p.numel() for p in predictor.parameters()) == entry.predictor_parameters


def test_parameters_of_the_ac_predictors_are_those_of_the_network():
    torch = pytest.importorskip('torch')
    from vjepa_planner.networks import ACPredictor, ACPredictorConfig

    with torch.device('meta'):
        count = sum(p.numel() for p in ACPredictor(ACPredictorConfig()).parameters())
    extrinsics, state = 6 * 1024 + 1024, 7 * 1024 + 1024
    assert CATALOG['vjepa2-ac-vitg'].predictor_parameters == count + extrinsics
    assert CATALOG['vjepa2-ac-droid'].predictor_parameters == count - state


@ENTRIES
def test_sizes_are_what_the_parameters_take(entry):
    encoder, predictor = entry.encoder_parameters, entry.predictor_parameters
    file = entry.checkpoint
    expected = {
        'vjepa2-ac-vitg': weights_size(2 * encoder + 3 * predictor),
        'vjepa2-ac-droid': weights_size(3 * predictor),
    }.get(
        entry.name,
        weights_size(encoder + predictor)
        if entry.is_directory
        else training_file_size(encoder, predictor),
    )
    assert (file.size is None) != (file.estimated_size is None)
    assert (file.size or file.estimated_size) == pytest.approx(expected, rel=3e-4)


@pytest.mark.parametrize('entry', PLANNING, ids=lambda entry: entry.name)
def test_models_that_plan_bring_crop_frame_and_planner(entry):
    assert entry.settings['crop'] in CROPS
    assert entry.settings['ee_frame'] == 'fr3_link8'
    planner = make_recommended_planner(entry.settings['planner'])
    assert planner.config.num_samples == entry.settings['planner']['num_samples']
    assert entry.config()['img_size'] == entry.image_size == 256


def test_a_file_without_config_is_set_up_by_its_name(official, tmp_path):
    pytest.importorskip('torch')
    from vjepa_planner.world_model import load_world_model

    path = tmp_path / 'vjepa2-ac-vitg.pt'
    path.symlink_to(official.ac_checkpoint)
    config = load_world_model(path, device='cpu').config
    assert (config.name, config.crop) == ('vjepa2-ac-vitg', 'squash')
    assert config.planner['num_samples'] == 800
    (tmp_path / CONFIG_FILE).write_text('{"crop": "square", "name": "mine"}')
    config = load_world_model(path, device='cpu').config
    assert (config.name, config.crop, config.ee_frame) == ('mine', 'square', 'fr3_link8')


def test_a_mirror_must_have_every_file(tmp_path):
    entry = CATALOG['vjepa2-vitl-hf']
    assert entry.from_mirror('http://host/a/').files[1].url == 'http://host/a/config.json'
    (tmp_path / 'config.json').touch()
    with pytest.raises(InvalidInputError, match=r'lacks model\.safetensors'):
        entry.from_mirror(str(tmp_path))


def test_only_noncommercial_licences_are_marked_as_such():
    assert [e.name for e in CATALOG.values() if e.noncommercial] == ['vjepa2-ac-droid']


@pytest.mark.parametrize(
    ('count', 'text'),
    [(0, '0 B'), (999, '999 B'), (1500, '1.5 kB'), (15_300_000, '15.3 MB'), (5.127e9, '5.13 GB')],
)
def test_bytes_are_written_for_people(count, text):
    assert format_bytes(count) == text


def row(entry) -> str:
    """Return the row of a model in ``models/README.md``."""
    parameters = ' + '.join(
        f'{count / 1e6:.1f} M'
        for count in (entry.encoder_parameters, entry.predictor_parameters)
        if count
    )
    checksum = 'known' if entry.checkpoint.sha256 else '-'
    return (
        f'| `{entry.name}` | {entry.task} | {parameters} | {entry.image_size} | '
        f'{entry.size_text} | {checksum} | {entry.licence} | [card]({entry.card}) |'
    )


def test_the_overview_of_the_model_cards_has_the_facts_of_the_catalogue():
    lines = (CARDS / 'README.md').read_text(encoding='utf-8').splitlines()
    rows = [line for line in lines if line.startswith('| `') and '`franka-sim`' not in line]
    assert rows == [row(entry) for entry in CATALOG.values()]


@ENTRIES
def test_each_model_has_a_card_that_names_it_its_licence_and_its_page(entry):
    text = (CARDS / entry.card).read_text(encoding='utf-8')
    assert f'`{entry.name}`' in text
    assert entry.licence.split()[0] in text
    assert entry.page in text
    assert entry.paper in text
