# SPDX-License-Identifier: Apache-2.0
"""The published sizes, built without memory, have the published numbers of parameters."""

from __future__ import annotations

import pytest

torch = pytest.importorskip('torch')

from vjepa_planner.catalog import CATALOG  # noqa: E402
from vjepa_planner.errors import UnknownNameError  # noqa: E402
from vjepa_planner.networks import ACPredictor, Encoder, MaskedPredictor  # noqa: E402
from vjepa_planner.networks.architectures import architecture, ARCHITECTURES  # noqa: E402
from vjepa_planner.networks.config import ACPredictorConfig  # noqa: E402


def _parameters(network, config):
    with torch.device('meta'):
        return sum(parameter.numel() for parameter in network(config).parameters())


@pytest.mark.parametrize(
    ('name', 'count'),
    [
        ('vjepa2-vitl', 303_885_312),
        ('vjepa2-vith', 631_648_000),
        ('vjepa2-vitg', 1_012_173_952),
        ('vjepa2-vitg-384', 1_012_173_952),
        ('vjepa2.1-vitb', 86_833_152),
        ('vjepa2.1-vitg', 1_013_267_968),
    ],
)
def test_encoders_have_the_published_number_of_parameters(name, count):
    assert _parameters(Encoder, architecture(name).encoder) == count


@pytest.mark.parametrize(
    ('name', 'millions'), [('vjepa2.1-vitl', 304.7), ('vjepa2.1-vitgigantic', 1845.2)]
)
def test_encoders_of_which_only_millions_are_known_have_them(name, millions):
    count = _parameters(Encoder, architecture(name).encoder)
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    ('name', 'millions'), [('vjepa2-vitl', 22.09), ('vjepa2-vith', 22.28), ('vjepa2-vitg', 22.38)]
)
def test_masked_predictors_have_the_published_number_of_parameters(name, millions):
    count = _parameters(MaskedPredictor, architecture(name).predictor)
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize('name', [name for name in ARCHITECTURES if '-ac-' not in name])
def test_the_catalogue_says_the_same(name):
    entry, (encoder, predictor) = CATALOG[name], architecture(name)
    assert entry.encoder_parameters == _parameters(Encoder, encoder)
    assert entry.predictor_parameters == _parameters(MaskedPredictor, predictor)
    assert (entry.image_size, entry.image_size) == encoder.img_size


def test_the_ac_predictor_has_the_published_number_of_parameters():
    # The file also has an input for the camera's pose, 6 -> 1024, which nothing uses.
    unused = 6 * 1024 + 1024
    released = _parameters(ACPredictor, architecture('vjepa2-ac-vitg').predictor)
    assert released == 305_220_992 - unused
    without_state = _parameters(ACPredictor, architecture('vjepa2-ac-droid').predictor)
    assert released - without_state == 7 * 1024 + 1024
    assert CATALOG['vjepa2-ac-vitg'].predictor_parameters == released + unused
    assert CATALOG['vjepa2-ac-droid'].predictor_parameters == without_state


def test_levels_are_at_the_published_blocks():
    published = {
        'vjepa2.1-vitb': (2, 5, 8, 11),
        'vjepa2.1-vitl': (5, 11, 17, 23),
        'vjepa2.1-vitg': (9, 19, 29, 39),
        'vjepa2.1-vitgigantic': (11, 23, 37, 47),
    }
    for name, blocks in published.items():
        assert architecture(name).encoder.output_blocks == blocks


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_predictors_fit_their_encoders(name):
    encoder, predictor = architecture(name)
    assert predictor.embed_dim == encoder.embed_dim
    if isinstance(predictor, ACPredictorConfig):
        assert encoder.img_size == (256, 256)
    else:
        assert predictor.img_size == encoder.img_size
        assert predictor.version == encoder.version


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'vjepa2-vitg'"):
        architecture('vjepa2-vit-g')
