# SPDX-License-Identifier: Apache-2.0
"""What a user of the demonstration may choose, and where its results lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.model_files import find_model, UNTRAINED
from vjepa_ros.child_nodes.domain import MAX_DOMAIN_ID


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What a user may choose; the defaults are those of ``vjepa demo``.

    Attributes:
        seed: Of the scene, the goals and the planner.
        out: Directory for the results.
        model: Name or path of the world model.
        backend: What computes.
        device: Where it computes.
        precision: Number format of the networks.
        max_actions: Actions per goal after which the next one is set.
        domain_id: ROS domain of the nodes; None for one that nobody uses.
    """

    seed: int
    out: Path
    model: str
    backend: str
    device: str
    precision: str
    max_actions: int
    domain_id: int | None

    def __post_init__(self) -> None:
        """Check the values, and that there is such a model."""
        if self.seed < 0 or self.max_actions < 1:
            raise InvalidInputError(
                f'--seed must not be negative and --max-actions be positive, got {self.seed} and '
                f'{self.max_actions}.'
            )
        if self.domain_id is not None and not 0 <= self.domain_id <= MAX_DOMAIN_ID:
            raise InvalidInputError(
                f'--domain-id must be in 0..{MAX_DOMAIN_ID}, got {self.domain_id}.'
            )
        if self.model != UNTRAINED:
            find_model(self.model)


class DemoFiles:
    """Where the results lie, all below one directory.

    Attributes:
        video: The episode, H.264 in MP4.
        plot: Energy and distance over the actions.
        result: All numbers, as JSON.
        goal_images: The two goals, PNG.
        logs: Directory of one log per process.
    """

    def __init__(self, out: Path) -> None:
        """Make the directories and remove the results of an earlier run."""
        self.video = out / 'episode.mp4'
        self.plot = out / 'energy.png'
        self.result = out / 'result.json'
        self.goal_images = (out / 'goal_1.png', out / 'goal_2.png')
        self.logs = out / 'logs'
        self.logs.mkdir(parents=True, exist_ok=True)
        for path in (self.video, self.plot, self.result, *self.goal_images):
            path.unlink(missing_ok=True)
