# SPDX-License-Identifier: Apache-2.0
"""What an evaluation through the nodes runs, and the parameters of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.evaluation import Task
from vjepa_planner.planners import PlannerConfig
from vjepa_planner.simulation import WORKSPACE_MAX, WORKSPACE_MIN
from vjepa_ros.child_nodes.nodes import Parameters, patient_parameters

_MAX_SEED = 2**31  # of the parameter planner.seed

# A full action, 7.5 cm along each axis, then takes the 0.5 s of FrankaSimulation.apply.
_MAX_SPEED = 0.5  # [m/s]
_MAX_ACCELERATION = 3.0  # [m/s^2]


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is evaluated.

    Attributes:
        task: What is to be done.
        seeds: Of the episodes; each is the planner's seed, too.
        final_goal_only: Pursue the last goal image alone, for all of the task's actions.
        vary: Looks that differ from seed to seed.
        renderer: Camera of the simulator.
        model: Name or path of the world model.
        backend: What computes.
        device: Where it computes.
        precision: Number format of the networks.
        planner: Name of the planner.
        planner_config: Its settings.
        logs: Folder for one log per node; None for a temporary one, which stays after an error.
    """

    task: Task
    seeds: range
    final_goal_only: bool
    vary: frozenset[str]
    renderer: str
    model: str
    backend: str
    device: str
    precision: str
    planner: str
    planner_config: PlannerConfig
    logs: Path | None

    def __post_init__(self) -> None:
        """Check the seeds."""
        if self.seeds[-1] > _MAX_SEED:
            raise InvalidInputError(
                f'through ROS seeds must not exceed {_MAX_SEED}, got {self.seeds[-1]}.'
            )


def make_parameters(config: EvaluationConfig) -> Parameters:
    """Return the parameters of each node that are not the defaults."""
    # Imported here: it needs ROS.
    from vjepa_ros.parameters import parameter_values

    parameters = patient_parameters(config.model, config.backend, config.device, config.precision)
    parameters['simulator'] |= {'vary': sorted(config.vary) or [''], 'renderer': config.renderer}
    parameters['planner'] |= {
        'planner.name': config.planner,
        **parameter_values(config.planner_config, 'planner.'),
    }
    parameters['commander'] |= {
        'workspace_min': WORKSPACE_MIN.tolist(),
        'workspace_max': WORKSPACE_MAX.tolist(),
        'max_speed': _MAX_SPEED,
        'max_acceleration': _MAX_ACCELERATION,
    }
    return parameters
