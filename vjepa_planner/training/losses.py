# SPDX-License-Identifier: Apache-2.0
"""The terms that encoder training minimises.

Embeddings are layer-normalised without affine everywhere here, as the planner compares them.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from vjepa_planner.training.processes import mean_over_processes

METERS_TO_EMBEDDING = 12.0
"""How far an embedding shall move along its read-out direction per metre of the end effector."""

CLOSEDNESS_TO_EMBEDDING = 5.0
"""The same for the gripper, from fully open to fully closed. A cup between the fingers (closedness
0.18) is to weigh as much as a few centimetres: fingers are a few pixels of the image."""

_VARIANCE_FLOOR = 0.5


def normalise(tokens: Tensor) -> Tensor:
    """Return tokens (..., D) with zero mean and unit variance over D, as V-JEPA 2-AC does."""
    return F.layer_norm(tokens, tokens.shape[-1:])


def prediction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of two embeddings of equal shape (the paper's L1)."""
    return (predicted - target).abs().mean()


def spread_losses(differences: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much differences between frames of one episode lack variance, and correlate.

    What varies only between episodes (colours, light) cannot satisfy a bound on differences
    *within* one, so the encoder has to follow what moves. Variance and covariance terms as in
    VICReg (Bardes et al., 2022).

    Args:
        differences: Embedding differences of frames of the same episode, shape (B, N, D).
    """
    rows = differences.flatten(0, -2)
    std = (mean_over_processes(rows.square().mean(0)) + 1e-4).sqrt()
    covariance = mean_over_processes(rows.T @ rows / len(rows))
    off_diagonal = covariance - torch.diag(torch.diag(covariance))
    return F.relu(_VARIANCE_FLOOR - std).mean(), off_diagonal.square().sum() / rows.shape[-1]


class LinearInverseDynamics(nn.Module):
    """Reads an action off the difference of two embeddings along fixed orthonormal directions.

    The read-out is not trained: the encoder has to arrange its embeddings so that a displacement
    of the end effector moves *every* token by a proportional step along three directions, and a
    change of the gripper along a fourth. The energy between two images then grows with the
    distance between their poses, over the whole workspace, which is what a greedy planner needs.
    """

    read_out: Tensor

    def __init__(self, embed_dim: int, seed: int = 0) -> None:
        """Draw the directions.

        Args:
            embed_dim: Width of the embeddings.
            seed: Of the directions.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        directions, _ = torch.linalg.qr(torch.randn(embed_dim, 4, generator=generator))
        self.register_buffer('read_out', directions)

    def forward(self, differences: Tensor, actions: Tensor) -> Tensor:
        """Return the mean error of the actions read off: absolute, of the gripper Huber's.

        Most pairs of frames have the same gripper: the absolute error alone is content with that.

        Args:
            differences: Later minus earlier embedding, shape (B, N, D).
            actions: Later minus earlier state, as measured, shape (B, 7).
        """
        moved = torch.cat(
            (METERS_TO_EMBEDDING * actions[:, :3], CLOSEDNESS_TO_EMBEDDING * actions[:, 6:]), dim=1
        )
        wrong = differences @ self.read_out - moved[:, None]
        gripper = F.huber_loss(wrong[..., 3], torch.zeros_like(wrong[..., 3]))
        return (3 * wrong[..., :3].abs().mean() + 2 * gripper) / 4
