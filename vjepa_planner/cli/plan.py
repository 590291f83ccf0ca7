# SPDX-License-Identifier: Apache-2.0
"""``vjepa plan``: one plan from image files or a recording, without a robot."""

from __future__ import annotations

import argparse

from vjepa_planner.cli.options import (
    add_crop_option,
    add_json_option,
    add_model_options,
    add_planner_options,
    load_chosen_model,
    make_chosen_planner,
    write_json,
)
from vjepa_planner.cli.scene import add_scene_options, read_scene
from vjepa_planner.cli.waiting import waiting


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'plan',
        help='plan from two images, or from a recording',
        description='Plan from the present image and state towards a goal image, and print the '
        'actions and the energy.',
    )
    add_scene_options(parser)
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    add_model_options(parser)
    add_crop_option(parser)
    add_planner_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from vjepa_planner.mpc import ModelPredictiveController

    scene = read_scene(options)
    world_model = load_chosen_model(options, options.crop)
    planner = make_chosen_planner(options, world_model)
    controller = ModelPredictiveController(world_model, planner, options.seed)
    with waiting('planning'):
        plan = controller.plan(scene.observation, scene.goal)
    print('step      dx      dy      dz     drx     dry     drz      dg   [m, rad, closedness]')
    rows = {str(step): action for step, action in enumerate(plan.actions)}
    if scene.true_action is not None:
        rows['true'] = scene.true_action
    for name, action in rows.items():
        print(f'{name:>4}' + ''.join(f'{value:>8.4f}' for value in action))
    print(
        f'energy {plan.current_energy:.4f} now, {plan.energy:.4f} planned; '
        f'{plan.evaluations} evaluations in {plan.duration:.2f} s'
    )
    results = {
        'actions': plan.actions.tolist(),
        'energy': plan.energy,
        'current_energy': plan.current_energy,
        'evaluations': plan.evaluations,
        'duration': plan.duration,
    }
    if scene.true_action is not None:
        results['true_action'] = scene.true_action.tolist()
    write_json(options.json, results)
    return 0
