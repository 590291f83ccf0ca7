# SPDX-License-Identifier: Apache-2.0
"""The settings of the command gate."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa_planner.errors import InvalidInputError
from vjepa_ros.motion import MotionLimits
from vjepa_ros.settings import setting

MODES = ('blocking', 'streaming')


@dataclass(frozen=True, kw_only=True)
class GateConfig(MotionLimits):
    """The limits of a motion, and the ages and errors beyond which the arm holds."""

    mode: str = setting(
        'blocking',
        'blocking: execute, settle, look; streaming: a newer plan replaces the motion on the way '
        '(the planner then needs wait_for_commander: false)',
        read_only=True,
    )
    plan_max_age: float = setting(
        2.0, 'Plans whose image is older than this are refused [s]', minimum=0.01, maximum=60.0
    )
    state_max_age: float = setting(
        0.1,  # a hold takes the target back by what the arm went meanwhile
        'The arm holds when no measured pose came for this long [s]',
        minimum=0.01,
        maximum=10.0,
    )
    state_tolerance: float = setting(
        0.02,
        'Plans are refused when the arm is farther than this from where they start [m]',
        minimum=0.001,
        maximum=0.2,
    )
    state_tolerance_rotation: float = setting(
        0.2,
        'Plans are refused when the arm is turned by more than this from where they start [rad]',
        minimum=0.01,
        maximum=3.1,
    )
    max_tracking_error: float = setting(
        0.05,
        'The arm stops, until start is called, when it is farther than this from its target [m]',
        minimum=0.001,
        maximum=0.5,
    )
    max_tracking_rotation: float = setting(
        0.4,
        'The arm stops, until start is called, when it is turned away from its target by more '
        'than this [rad]',
        minimum=0.01,
        maximum=3.1,
    )
    max_measured_speed: float = setting(
        1.0,
        'A measured pose that an arm at this speed cannot have reached stops it until start is '
        'called [m/s]',
        minimum=0.1,
        maximum=10.0,
    )
    resume_within: float = setting(
        10.0,
        'If measured poses are missing for longer than this, start is needed [s]',
        minimum=0.1,
        maximum=3600.0,
    )
    settle_tolerance: float = setting(
        0.02,
        'Distance to the target at which a motion is complete [m]',
        minimum=0.001,
        maximum=0.2,
    )
    gripper_tolerance: float = setting(
        0.01,
        'Distance to the target within which the gripper moves: farther, something is in the way '
        '[m]',
        minimum=0.001,
        maximum=0.2,
    )
    settle_timeout: float = setting(
        3.0,
        'Time to come to rest after the last interpolated target [s]',
        minimum=0.1,
        maximum=60.0,
    )

    def __post_init__(self) -> None:
        """Check what no range can say.

        Raises:
            InvalidInputError: There is no such mode, or the workspace is no box.
        """
        super().__post_init__()
        if self.mode not in MODES:
            raise InvalidInputError(f'mode must be one of {", ".join(MODES)}, got {self.mode!r}.')
