# SPDX-License-Identifier: Apache-2.0
"""Where the doctor looks, and what it takes for healthy."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa_planner.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Names are those that the running nodes use, unless they are given.

    Attributes:
        namespace: Of our nodes.
        image_topic: Of the camera; None: what the encoder listens to.
        pose_topic: Of the measured pose; None: what the planner listens to.
        target_topic: Of the commands; None: what the commander publishes.
        seconds: For which it listens.
    """

    namespace: str = 'vjepa'
    image_topic: str | None = None
    pose_topic: str | None = None
    target_topic: str | None = None
    seconds: float = 4.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0.5 <= self.seconds <= 600.0:
            raise InvalidInputError(f'seconds must be in 0.5..600, got {self.seconds:g}.')


MIN_IMAGE_RATE = 1.0
"""Of a camera [Hz]: an image of the resting arm has to come soon after it came to rest."""
MAX_IMAGE_AGE = 0.5
"""When an image comes [s]."""
MIN_STATE_RATE = 10.0
"""Of measured poses and joints [Hz]; the commander holds after 0.2 s of silence by default."""
MAX_STATE_AGE = 0.2
"""When a measured pose comes [s]."""
