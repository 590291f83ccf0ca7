# SPDX-License-Identifier: Apache-2.0
"""What the networks promise beyond their numbers: sizes, masks, precision, initial weights."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip('torch')

from vjepa_planner.errors import CheckpointError, InvalidInputError  # noqa: E402
from vjepa_planner.networks import (  # noqa: E402
    ACPredictor,
    ACPredictorConfig,
    Encoder,
    EncoderConfig,
    MaskedPredictor,
    MaskedPredictorConfig,
)
from vjepa_planner.networks.rope import grid_positions, interpolated_positions  # noqa: E402

SIZES = {'img_size': 32, 'depth': 2, 'num_heads': 2}
AC_CONFIG = ACPredictorConfig(**SIZES, embed_dim=32, predictor_embed_dim=64)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(EncoderConfig(**SIZES, embed_dim=64)).eval()


@pytest.fixture
def predictor():
    torch.manual_seed(1)
    return ACPredictor(AC_CONFIG).eval()


def _ac_inputs(batch, steps, patches=4):
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randn(batch, steps * patches, 32, generator=generator)
    actions = torch.randn(batch, steps, 7, generator=generator)
    return tokens, actions, torch.randn(batch, steps, 7, generator=generator)


@torch.no_grad()
def test_masked_tokens_are_not_seen(encoder):
    clip = torch.randn(1, 3, 4, 32, 32)
    keep = torch.tensor([[0, 3, 5]])
    changed = clip.clone()
    changed[:, :, :2, 16:, :16] += 1.0  # token 2
    torch.testing.assert_close(encoder(clip, keep), encoder(changed, keep))
    changed[:, :, :2, :16, :16] += 1.0  # token 0
    assert not torch.allclose(encoder(clip, keep), encoder(changed, keep))


@torch.no_grad()
def test_keeping_every_token_is_the_same_as_no_mask(encoder):
    clip = torch.randn(2, 3, 4, 32, 48)
    everything = torch.arange(12).expand(2, -1)
    torch.testing.assert_close(encoder(clip, everything), encoder(clip))


@pytest.mark.parametrize(
    'shape', [(1, 3, 3, 32, 32), (1, 3, 2, 40, 32), (1, 1, 2, 32, 32), (3, 2, 32, 32)]
)
def test_a_clip_that_does_not_divide_into_tubelets_is_refused(encoder, shape):
    with pytest.raises(InvalidInputError, match='clip must have'):
        encoder(torch.zeros(shape))


@torch.no_grad()
def test_no_step_sees_a_later_one(predictor):
    tokens, actions, states = _ac_inputs(2, 3)
    whole = predictor(tokens, actions, states)
    for steps in (1, 2):
        start = predictor(tokens[:, : 4 * steps], actions[:, :steps], states[:, :steps])
        torch.testing.assert_close(start, whole[:, : 4 * steps])


@torch.no_grad()
def test_actions_and_states_and_earlier_steps_matter(predictor):
    tokens, actions, states = _ac_inputs(1, 2)
    last = predictor(tokens, actions, states)[:, 4:]
    for changed in (
        (tokens, actions + 1, states),
        (tokens, actions, states + 1),
        (torch.cat((tokens[:, :4] + 1, tokens[:, 4:]), dim=1), actions, states),
    ):
        assert not torch.allclose(predictor(*changed)[:, 4:], last)


@torch.no_grad()
def test_other_square_images_are_accepted_and_others_refused(predictor):
    assert predictor(*_ac_inputs(1, 2, patches=9)).shape == (1, 18, 32)
    with pytest.raises(InvalidInputError, match='6 patches'):
        predictor(*_ac_inputs(1, 2, patches=6))


def test_shapes_that_do_not_fit_together_are_refused(predictor):
    tokens, actions, states = _ac_inputs(1, 2)
    for wrong in ((tokens[:, :7], actions, states), (tokens, actions, states[:, :1])):
        with pytest.raises(InvalidInputError, match='do not fit'):
            predictor(*wrong)


@torch.no_grad()
def test_hidden_tokens_may_lie_beyond_the_frames_of_the_config():
    config = MaskedPredictorConfig(
        **SIZES, num_frames=4, embed_dim=32, predictor_embed_dim=32, num_mask_tokens=2
    )
    predictor = MaskedPredictor(config).eval()
    visible, hidden = torch.tensor([[0, 1, 20]]), torch.tensor([[2, 31]])
    assert predictor(torch.randn(1, 3, 32), visible, hidden).shape == (1, 2, 32)


@torch.no_grad()
def test_bfloat16_autocast_stays_close_to_float32(encoder, predictor):
    clip, inputs = torch.randn(1, 3, 2, 32, 32), _ac_inputs(2, 2)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = encoder(clip), predictor(*inputs)
    for rough, exact in zip(low, (encoder(clip), predictor(*inputs)), strict=True):
        torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)


def test_a_table_made_in_inference_serves_training(predictor):
    inputs = _ac_inputs(2, 3)
    with torch.inference_mode():
        predictor(*inputs)
    predictor(*inputs).square().mean().backward()
    assert all(parameter.grad is not None for parameter in predictor.parameters())


def test_initial_weights_are_as_published():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(img_size=32, embed_dim=256, depth=4, num_heads=4))
    assert encoder.patch_embed.proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for index, block in enumerate(encoder.blocks, start=1):
        scaled = 0.02 / math.sqrt(2 * index)
        assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert block.attn.proj.weight.std().item() == pytest.approx(scaled, rel=0.05)
        assert block.mlp.fc2.weight.std().item() == pytest.approx(scaled, rel=0.05)
        assert not block.mlp.fc1.bias.any()
        assert (block.norm1.weight == 1).all()


@torch.no_grad()
def test_an_image_is_a_clip_of_one_frame_for_version_2_1_only(encoder):
    sizes = {**SIZES, 'depth': 4, 'version': '2.1', 'interpolate_rope': True}
    newer = Encoder(EncoderConfig(**sizes, embed_dim=64)).eval()
    image = torch.randn(1, 3, 1, 32, 48)
    assert newer(image).shape == (1, 6, 64)
    assert newer.hierarchical(image).shape == (1, 6, 256)
    assert not torch.allclose(newer(image), newer(image.expand(-1, -1, 2, -1, -1)))
    with pytest.raises(InvalidInputError, match='got 3 frames'):
        newer(image.expand(-1, -1, 3, -1, -1))
    with pytest.raises(InvalidInputError, match='got 1 frames'):
        encoder(image)


@torch.no_grad()
def test_a_single_row_of_patches_has_finite_positions():
    sizes = {**SIZES, 'depth': 4, 'version': '2.1', 'interpolate_rope': True}
    newer = Encoder(EncoderConfig(**sizes, embed_dim=64)).eval()
    assert newer(torch.randn(1, 3, 2, 16, 48)).isfinite().all()


@torch.no_grad()
def test_interpolated_positions_span_the_grid_of_256_pixels_at_any_resolution():
    positions = interpolated_positions(2, 24, 32)
    assert positions[:, 0].max() == 1  # time is not scaled
    assert positions[:, 1].max() == positions[:, 2].max() == 15
    assert torch.equal(interpolated_positions(3, 16, 16), grid_positions(3, 16, 16).double())


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('use_silu', True),
        ('use_rope', False),
        ('drop_path_rate', 0.1),
        ('num_frames', 1),
        ('interpolate_rope', True),
        ('img_temporal_dim_size', 1),
        ('n_registers', 4),
        ('version', '3'),
    ],
)
def test_options_that_would_change_the_arithmetic_are_refused(option, value):
    with pytest.raises(CheckpointError, match=option):
        EncoderConfig.from_dict({**SIZES, 'embed_dim': 64, option: value})


@pytest.mark.parametrize(
    'sizes',
    [
        {'num_heads': 3},
        {'num_heads': 4.0},
        {'num_heads': None},
        {'layer_norm_eps': 0},
        {'layer_norm_eps': 'small'},
        {'img_size': 40},
        {'depth': 0},
        {'img_size': [32, 32, 32]},
        {'version': '2.1', 'depth': 3},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(CheckpointError):
        EncoderConfig.from_dict({**SIZES, 'embed_dim': 64, **sizes})


def test_configs_survive_a_round_trip():
    for config in (AC_CONFIG, EncoderConfig(img_size=(32, 48)), MaskedPredictorConfig()):
        assert type(config).from_dict(config.to_dict()) == config
