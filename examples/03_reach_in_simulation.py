# SPDX-License-Identifier: Apache-2.0
"""Close the loop in the simulator: look, plan, execute the first action, look again.

python examples/03_reach_in_simulation.py --seed 3
"""

from __future__ import annotations

import argparse

from vjepa_planner import (
    Goal,
    load_world_model,
    make_recommended_planner,
    ModelPredictiveController,
)
from vjepa_planner.evaluation import ReachTask
from vjepa_planner.simulation import FrankaSimulation, SimulationConfig


def main() -> None:
    """Reach the pose that a goal image shows."""
    parser = argparse.ArgumentParser(description='Reach the pose that a goal image shows.')
    parser.add_argument('--model', default='franka-sim', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the scene (default: %(default)s)')
    parser.add_argument('--actions', type=int, default=15, help='default: %(default)s')
    arguments = parser.parse_args()

    world_model = load_world_model(arguments.model)
    planner = make_recommended_planner(world_model.config.planner)
    controller = ModelPredictiveController(world_model, planner, seed=arguments.seed)
    simulation = FrankaSimulation(SimulationConfig(vary=frozenset({'colors'})))

    task = ReachTask()
    task_goal = task.start(simulation, arguments.seed)
    goal = Goal(image=task_goal.image)
    print('action  energy  expected  seconds  distance after it')
    print(f'start {task.distance(simulation, task_goal) * 100:43.1f} cm')
    for number in range(1, arguments.actions + 1):
        plan = controller.plan(simulation.observe(), goal)
        simulation.apply(plan.actions[0])
        distance = task.distance(simulation, task_goal)  # the planner does not know it
        print(
            f'{number:>6}  {plan.current_energy:6.4f}  {plan.energy:8.4f}  {plan.duration:7.2f}'
            f'{distance * 100:16.1f} cm'
        )
    simulation.close()


if __name__ == '__main__':
    main()
