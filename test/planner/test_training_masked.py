# SPDX-License-Identifier: Apache-2.0
"""Masked pre-training: its loss, its moving average, its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vjepa_planner.data.episodes import Episodes
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.networks import (
    Encoder,
    EncoderConfig,
    load_networks,
    MaskedPredictor,
    MaskedPredictorConfig,
)
from vjepa_planner.training.export import export_model
from vjepa_planner.training.loop import Intervals
from vjepa_planner.training.losses import normalise
from vjepa_planner.training.masked import MaskedConfig, MaskedObjective, MaskedStage
from vjepa_planner.training.masks import Mask
from vjepa_planner.training.processes import Processes
from vjepa_planner.training.run import read_log, recompute_activations, TrainingRun
from vjepa_planner.training.train_encoder import train_encoder
from vjepa_planner.training.watch import StoppedError

SIZES: dict[str, Any] = {
    'img_size': (48, 48),
    'num_frames': 4,
    'embed_dim': 32,
    'depth': 1,
    'num_heads': 2,
}
CONFIG = MaskedConfig(
    steps=150, batch_size=8, learning_rate=1e-3, frames=4, momentum=0.99, bfloat16=False
)


def make_networks(seed: int = 0, **changes: Any) -> tuple[Encoder, MaskedPredictor]:
    torch.manual_seed(seed)
    sizes = SIZES | changes
    version = {'version': sizes.pop('version', '2')}
    predictor = MaskedPredictor(MaskedPredictorConfig(**sizes, predictor_embed_dim=32))
    return Encoder(EncoderConfig(**sizes, **version)), predictor


def make_objective() -> MaskedObjective:
    objective = MaskedObjective(*make_networks(), CONFIG)
    with torch.no_grad():
        for parameter in objective.target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return objective


@pytest.fixture(scope='module')
def clips() -> Tensor:
    return torch.randn(3, 3, 4, 48, 48, generator=torch.Generator().manual_seed(0))


def episodes_of(images: Any) -> Episodes:
    """Return episodes whose state says how bright the image is, so that it can be told."""
    states = np.zeros((*images.shape[:2], 7), np.float32)
    states[..., 0] = images.mean(axis=(2, 3, 4)) / 255
    return Episodes(images=images, states=states, seeds=np.arange(len(images)))


@pytest.fixture(scope='module')
def scrolling() -> Episodes:
    """A window that moves over a smooth random texture: what is hidden can be told."""
    rng = np.random.default_rng(0)
    images = np.empty((40, 5, 48, 48, 3), np.uint8)
    for row in range(40):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        texture = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        dx, dy = rng.integers(0, 10, 2)
        for frame in range(5):
            y, x = frame * dy, frame * dx
            images[row, frame] = texture[y : y + 48, x : x + 48]
    return episodes_of(images)


@pytest.fixture(scope='module')
def plain() -> Episodes:
    """A square that moves in front of a grey wall: most of what is hidden is just that."""
    rng = np.random.default_rng(0)
    images = np.empty((20, 5, 48, 48, 3), np.uint8)
    for episode in images:
        episode[:] = rng.integers(30, 220)
        start, step = rng.integers(0, 12, 2), rng.integers(0, 6, 2)
        for frame, (y, x) in enumerate(start + np.arange(5)[:, None] * step):
            episode[frame, y : y + 12, x : x + 12] = 255
    return episodes_of(images)


def masks_of(*targets: list[int]) -> list[Mask]:
    """Return masks of a clip of 18 tokens, equal for three clips."""
    masks = []
    for target in targets:
        context = [token for token in range(18) if token not in target]
        masks.append(Mask(*(torch.tensor(ids).expand(3, -1) for ids in (context, target))))
    return masks


def test_the_loss_is_the_mean_over_masks_of_l1_to_the_normalised_target(clips: Tensor) -> None:
    objective = make_objective()
    masks = masks_of([0, 1, 9, 10], list(range(3, 9)))
    expected = []
    for mask in masks:
        context = objective.encoder(clips, mask.context)
        predicted = objective.predictor(context, mask.context, mask.target)
        target = normalise(objective.target(clips))[:, mask.target[0]]
        expected.append((predicted - target).abs().mean())
    terms = objective(clips, masks)
    torch.testing.assert_close(terms['loss'], torch.stack(expected).mean())


def test_the_loss_does_not_depend_on_what_encoder_and_predictor_must_not_see(
    clips: Tensor,
) -> None:
    objective = make_objective()
    (mask,) = masks_of([4, 13])  # the middle patch of both frame pairs
    other = clips.clone()
    other[..., 16:32, 16:32] = 0

    def predict(of: Tensor) -> Tensor:
        return objective.predictor(objective.encoder(of, mask.context), mask.context, mask.target)

    torch.testing.assert_close(predict(clips), predict(other), rtol=0, atol=0)
    assert (objective.target(clips) - objective.target(other)).abs().max() > 0.01


def test_gradients_reach_encoder_and_predictor_but_not_the_target(clips: Tensor) -> None:
    objective = make_objective()
    objective(clips, masks_of([0, 1, 9, 10]))['loss'].backward()
    assert all(p.grad is None for p in objective.target.parameters())
    trained = dict(objective.named_parameters())
    without = {n for n, p in trained.items() if p.requires_grad and p.grad is None}
    assert without == set()  # which several processes rely on
    assert objective.encoder.blocks[0].attn.qkv.weight.grad.abs().max() > 0


def test_activations_computed_again_give_the_same_gradients_and_names(clips: Tensor) -> None:
    masks = masks_of([0, 1, 9, 10])
    kept, again = make_objective(), make_objective()
    again.load_state_dict(kept.state_dict())
    recompute_activations(again)
    assert again.state_dict().keys() == kept.state_dict().keys()
    for objective in (kept, again):
        objective(clips, masks)['loss'].backward()
    gradients = dict(again.named_parameters())
    for name, parameter in kept.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=0, atol=0)


def test_the_target_is_a_moving_average_of_the_encoder() -> None:
    objective = make_objective()
    before = objective.target.norm.weight.clone()
    objective.update_target(0.9)
    torch.testing.assert_close(
        objective.target.norm.weight, 0.9 * before + 0.1 * objective.encoder.norm.weight
    )
    for _ in range(300):
        objective.update_target(0.9)
    for name, tensor in objective.encoder.state_dict().items():
        torch.testing.assert_close(objective.target.state_dict()[name], tensor)


def test_position_alone_predicts_everything_where_all_clips_are_equal(clips: Tensor) -> None:
    objective = make_objective()
    masks = masks_of([0, 1, 9, 10])
    same = clips[:1].expand_as(clips)
    assert objective(same, masks)['position_only'].item() == pytest.approx(0, abs=1e-6)
    assert objective(clips, masks)['position_only'].item() > 0.1


def test_processes_draw_parts_of_the_batch_that_one_process_draws(
    scrolling: Episodes, tmp_path: Path
) -> None:
    def draw(processes: Processes) -> tuple[Tensor, list[Mask]]:
        stage = MaskedStage(scrolling, *make_networks(), CONFIG, processes)
        return stage.draw(TrainingRun(stage.objective, CONFIG, tmp_path))

    clips, masks = draw(Processes())
    assert clips.shape == (8, 3, 4, 48, 48)
    assert len(masks) == 2
    second_clips, second_masks = draw(Processes(1, 2))
    torch.testing.assert_close(second_clips, clips[4:], rtol=0, atol=0)
    for mask, second in zip(masks, second_masks, strict=True):
        assert torch.equal(second.target, mask.target[4:])
        assert torch.equal(second.context, mask.context[4:])


@pytest.fixture(scope='module')
def finished(
    scrolling: Episodes, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Encoder, MaskedPredictor]:
    directory = tmp_path_factory.mktemp('masked')
    encoder, predictor = make_networks()
    intervals = Intervals(log=1, evaluate=20)
    for _ in train_encoder(scrolling, encoder, predictor, CONFIG, directory, intervals):
        pass
    return directory, encoder, predictor


def test_hidden_tokens_become_predictable_beyond_their_position(
    finished: tuple[Path, Encoder, MaskedPredictor],
) -> None:
    log = read_log(finished[0] / 'log.jsonl')
    lines = [line for line in log if 'loss' in line]

    def compared(lines: list[dict[str, float]]) -> float:
        return float(np.mean([line['loss'] / line['position_only'] for line in lines]))

    assert compared(lines[-30:]) < 0.95 * compared(lines[:30])
    checks = [line['token_std'] for line in log if 'token_std' in line]
    assert checks[-1] > 0.8 * checks[0]


def test_what_is_exported_is_the_moving_average_and_pre_training_can_go_on_from_it(
    finished: tuple[Path, Encoder, MaskedPredictor],
) -> None:
    directory, encoder, predictor = finished
    state = torch.load(directory / 'state.pt', weights_only=True)['modules']
    assert export_model(directory, encoder, predictor, {}) == CONFIG.steps
    networks = load_networks(directory / 'model')
    assert isinstance(networks.predictor, MaskedPredictor)
    weight = networks.encoder.blocks[0].attn.qkv.weight
    assert torch.equal(weight, state['target.blocks.0.attn.qkv.weight'])
    assert not torch.equal(weight, state['encoder.blocks.0.attn.qkv.weight'])


@pytest.mark.parametrize(
    ('changes', 'frames', 'message'),
    [
        ({'version': '2.1', 'depth': 4}, 4, 'V-JEPA 2.1 was pre-trained'),
        ({}, 3, 'multiple of 2 frames, got 3'),
        ({}, 6, 'at least 6 frames, these have 5'),
    ],
)
def test_what_cannot_be_pre_trained_is_refused(
    scrolling: Episodes, changes: dict[str, Any], frames: int, message: str
) -> None:
    networks, config = make_networks(**changes), MaskedConfig(frames=frames)
    with pytest.raises(InvalidInputError, match=message):
        MaskedStage(scrolling, *networks, config, Processes())


def test_images_that_are_not_square_are_refused(scrolling: Episodes) -> None:
    wide = Episodes(
        images=scrolling.images[:, :, :32],
        states=scrolling.states,
        seeds=scrolling.seeds,
    )
    with pytest.raises(InvalidInputError, match='32 x 48 px'):
        MaskedStage(wide, *make_networks(), MaskedConfig(frames=4), Processes())


def test_a_momentum_of_one_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r'momentum .* got 1.0'):
        MaskedConfig(momentum=1.0)


def test_an_encoder_that_collapses_is_stopped_with_its_state_saved(
    plain: Episodes, tmp_path: Path
) -> None:
    hasty = MaskedConfig(
        steps=200, batch_size=8, learning_rate=3e-3, frames=4, momentum=0.9, bfloat16=False
    )

    def train(keep_going: bool) -> list[int]:
        networks = make_networks()
        intervals = Intervals(log=10, evaluate=20, keep_going=keep_going)
        progress = train_encoder(plain, *networks, hasty, tmp_path, intervals)
        return [step for step, _ in progress]

    with pytest.raises(StoppedError, match=r'below 30% of .* at the start: the encoder collapses'):
        train(keep_going=False)
    log = read_log(tmp_path / 'log.jsonl')
    (warning,) = [line for line in log if 'warning' in line]
    assert warning['warning'] == 'collapse'
    stopped_at = log[-1]['step']
    assert stopped_at < 200
    assert train(keep_going=True) == list(range(stopped_at + 1, 201))
