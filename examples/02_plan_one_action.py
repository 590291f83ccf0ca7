# SPDX-License-Identifier: Apache-2.0
"""Plan one action from what the camera sees towards a goal image, and look at the result.

python examples/02_plan_one_action.py --seed 3
"""

from __future__ import annotations

import argparse

import numpy as np

from vjepa_planner import (
    Goal,
    load_world_model,
    make_recommended_planner,
    ModelPredictiveController,
)
from vjepa_planner.evaluation import ReachTask
from vjepa_planner.simulation import FrankaSimulation


def main() -> None:
    """Plan, and compare the action with the true way to the goal."""
    parser = argparse.ArgumentParser(description='Plan one action towards a goal image.')
    parser.add_argument('--model', default='franka-sim', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the scene (default: %(default)s)')
    arguments = parser.parse_args()

    world_model = load_world_model(arguments.model)
    planner = make_recommended_planner(world_model.config.planner)
    controller = ModelPredictiveController(world_model, planner, seed=arguments.seed)

    simulation = FrankaSimulation()
    task_goal = ReachTask().start(simulation, arguments.seed)
    observation = simulation.observe()
    plan = controller.plan(observation, Goal(image=task_goal.image))
    simulation.close()

    print(f'energy: {plan.current_energy:.4f} now, {plan.energy:.4f} expected after the plan')
    print(f'{plan.evaluations} action sequences were tried in {plan.duration:.2f} s')
    print('dx dy dz [m], rotation [rad], change of closedness, step by step:')
    print(np.array2string(plan.actions, precision=3, suppress_small=True))
    # The planner sees images only. The simulator knows the answer:
    there = task_goal.position - observation.state[:3]
    print(f'true displacement to the goal [m]: {np.round(there, 3)}')
    planned = plan.actions[:, :3].sum(axis=0)
    length = np.linalg.norm(planned) * np.linalg.norm(there)
    if length > 0:
        angle = np.degrees(np.arccos(np.clip(planned @ there / length, -1, 1)))
        print(f'the plan points {angle:.0f} degrees away from it')


if __name__ == '__main__':
    main()
