# SPDX-License-Identifier: Apache-2.0
"""The terms of the losses against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from vjepa_planner.training.losses import (
    CLOSEDNESS_TO_EMBEDDING,
    LinearInverseDynamics,
    METERS_TO_EMBEDDING,
    normalise,
    prediction_loss,
    spread_losses,
)


def test_normalised_tokens_have_no_mean_and_unit_variance() -> None:
    tokens = normalise(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))
    assert tokens.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert tokens.square().mean().item() == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(tokens, normalise(10 * tokens + 3), atol=1e-4, rtol=0)


def test_the_prediction_loss_is_the_mean_absolute_difference() -> None:
    predicted = torch.tensor([[[1.0, -2.0], [0.0, 4.0]]])
    target = torch.tensor([[[0.0, -1.0], [3.0, 4.0]]])
    assert prediction_loss(predicted, target).item() == pytest.approx((1 + 1 + 3 + 0) / 4)


def test_the_spread_losses_are_those_of_a_worked_example() -> None:
    # Rows (0.3, 0.4) and (-0.3, 0.4): second moments 0.09 and 0.16, and they cancel off-diagonal.
    differences = torch.tensor([[[0.3, 0.4]], [[-0.3, 0.4]]])
    variance, covariance = spread_losses(differences)
    lacking = (0.5 - (0.09 + 1e-4) ** 0.5) + (0.5 - (0.16 + 1e-4) ** 0.5)
    assert variance.item() == pytest.approx(lacking / 2, abs=1e-6)
    assert covariance.item() == pytest.approx(0.0, abs=1e-9)
    # Both along one diagonal: the off-diagonal entries are 0.09, twice, over a width of 2.
    variance, covariance = spread_losses(torch.tensor([[[0.3, 0.3]], [[-0.3, -0.3]]]))
    assert covariance.item() == pytest.approx(2 * 0.09**2 / 2, abs=1e-6)


def test_enough_spread_costs_nothing_and_a_collapse_costs_most() -> None:
    wide = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    assert spread_losses(wide)[0].item() == 0.0
    assert spread_losses(torch.zeros(4, 3, 8))[0].item() == pytest.approx(0.5 - 1e-2)


def test_the_gradient_of_a_full_collapse_is_finite() -> None:
    differences = torch.zeros(2, 3, 4, requires_grad=True)
    sum(spread_losses(differences)).backward()
    assert differences.grad is not None
    assert torch.isfinite(differences.grad).all()


def test_the_read_out_is_fixed_orthonormal_and_drawn_from_its_seed() -> None:
    module = LinearInverseDynamics(16)
    torch.testing.assert_close(module.read_out.T @ module.read_out, torch.eye(4))
    assert list(module.parameters()) == []
    torch.testing.assert_close(module.read_out, LinearInverseDynamics(16).read_out)
    assert not torch.equal(module.read_out, LinearInverseDynamics(16, seed=1).read_out)


def test_tokens_that_move_in_proportion_to_the_action_have_no_loss() -> None:
    module = LinearInverseDynamics(16)
    actions = torch.tensor([[0.05, -0.02, 0.01, 0.3, 0.2, 0.1, -0.5]])
    moved = torch.tensor(
        [
            [
                METERS_TO_EMBEDDING * 0.05,
                METERS_TO_EMBEDDING * -0.02,
                METERS_TO_EMBEDDING * 0.01,
                CLOSEDNESS_TO_EMBEDDING * -0.5,
            ]
        ]
    )
    differences = (moved @ module.read_out.T)[:, None].expand(1, 4, 16)
    assert module(differences, actions).item() == pytest.approx(0.0, abs=1e-6)
    still = module(torch.zeros(1, 4, 16), actions)
    gripper = CLOSEDNESS_TO_EMBEDDING * 0.5 - 0.5  # Huber's, twice its half
    assert still.item() == pytest.approx((moved[0, :3].abs().sum().item() + 2 * gripper) / 4)


def test_the_energy_between_two_poses_grows_with_their_distance() -> None:
    module = LinearInverseDynamics(32)
    direction = module.read_out[:, 0]
    energies = [(METERS_TO_EMBEDDING * d * direction).abs().mean() for d in (0.05, 0.1, 0.2)]
    assert energies[1] == pytest.approx(2 * energies[0])
    assert energies[2] == pytest.approx(4 * energies[0])
