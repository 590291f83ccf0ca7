# SPDX-License-Identifier: Apache-2.0
"""Time from a camera image to a command: encode the image, search the actions.

    python benchmarks/plan_latency.py --model franka-sim --repeats 50

Every combination of model, backend and planner is a variant. Variants take turns on the same
images, so that whatever else the machine does hits all of them alike. The goal is encoded
beforehand, as it is while a robot pursues it. Every plan starts cold: nothing is reused. The
images are noise, because the time does not depend on what they show.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
import itertools
import json
import os
from pathlib import Path
import platform
import sys
from time import perf_counter
from typing import Any

import numpy as np

from vjepa_planner import (
    available_backends,
    available_models,
    available_planners,
    Goal,
    load_world_model,
    make_recommended_planner,
    ModelPredictiveController,
    Observation,
    VjepaPlannerError,
)

STATE = np.array([0.45, 0.0, 0.3, np.pi, 0.0, 0.0, 0.0])  # gripper pointing down, open
PERCENTILES = (10, 50, 90)
RECOMMENDED = 'recommended'
BUSY = 0.25  # share of the cores that others may use without a warning


@dataclass
class Variant:
    """One combination to be timed, and its times so far.

    Attributes:
        name: Model, backend with device, and planner as given on the command line.
        settings: All settings of the planner.
        evaluations: Action sequences rolled out per plan.
        encode_seconds: From the image to its embedding, one entry per plan [s].
        plan_seconds: From the embedding to the actions, one entry per plan [s].
    """

    name: str
    settings: dict[str, object]
    controller: ModelPredictiveController
    goal: Goal
    evaluations: int = 0
    encode_seconds: list[float] = field(default_factory=list)
    plan_seconds: list[float] = field(default_factory=list)

    def run(self, image: np.ndarray) -> None:
        """Plan once from ``image`` and note the times."""
        start = perf_counter()
        embedding = self.controller.world_model.encode(image[None])[0]
        encoded = perf_counter()
        observation = Observation(embedding=embedding, state=STATE)
        self.evaluations = self.controller.plan(observation, self.goal).evaluations
        self.plan_seconds.append(perf_counter() - encoded)
        self.encode_seconds.append(encoded - start)

    def forget_times(self) -> None:
        """Drop the times of warming up."""
        self.encode_seconds.clear()
        self.plan_seconds.clear()

    def summary(self) -> dict[str, Any]:
        """Return the results as JSON takes them."""
        total = np.add(self.encode_seconds, self.plan_seconds)
        return {
            'variant': self.name,
            'planner_settings': self.settings,
            'evaluations': self.evaluations,
            'repeats': len(total),
            'plans_per_second': float(1.0 / np.median(total)),
            'seconds': percentiles(total),
            'encode_seconds': percentiles(self.encode_seconds),
            'plan_seconds': percentiles(self.plan_seconds),
        }


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return the percentiles that are reported, by name."""
    values = np.percentile(list(seconds), PERCENTILES)
    return {f'p{p}': float(value) for p, value in zip(PERCENTILES, values, strict=True)}


def parse_planner(text: str) -> tuple[str | None, dict[str, object]]:
    """Split ``'cem:num_samples=32,horizon=2'`` into a name (None: recommended) and settings."""
    name, _, rest = text.partition(':')
    settings: dict[str, object] = {}
    for part in filter(None, rest.split(',')):
        key, _, value = part.partition('=')
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            raise argparse.ArgumentTypeError(
                f'{part!r} is not name=number; an example is cem:num_samples=32,horizon=2'
            ) from None
    return (None if name == RECOMMENDED else name, settings)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Time from a camera image to a command, for one or several variants.',
        epilog='Example: %(prog)s --planner cem cem:num_samples=32,num_iterations=3 random',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--model', nargs='+', default=['franka-sim'], help='names or paths of models '
        f'(found here: {", ".join(available_models())})')  # fmt: skip
    add('--backend', nargs='+', default=['torch'], help=f'of {", ".join(available_backends())}')
    add('--device', default='auto', help='auto, cpu, cuda, ...')
    add('--planner', nargs='+', default=[RECOMMENDED], metavar='NAME[:SETTING=VALUE,...]',
        help=f'{RECOMMENDED} by the model, or of {", ".join(available_planners())}; settings that '
        'are not given are those that the model recommends')  # fmt: skip
    add('--repeats', type=int, default=30, help='plans per variant')
    add('--warm-up', type=int, default=3, help='plans per variant that do not count')
    add('--threads', type=int, default=None, help="torch's threads; None leaves it to torch")
    add('--image-size', nargs=2, type=int, default=(256, 256), metavar=('HEIGHT', 'WIDTH'),
        help='of the camera image [px]')  # fmt: skip
    add('--seed', type=int, default=0, help='of images, planners, and weights of untrained')
    add('--json', type=Path, default=None, metavar='FILE', help='where to write the results too')
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.warm_up < 0:
        parser.error('--repeats must be at least 1 and --warm-up at least 0')
    return arguments


def make_variants(arguments: argparse.Namespace, goal_image: np.ndarray) -> list[Variant]:
    """Load every model once per backend and combine it with every planner."""
    planners = [(text, *parse_planner(text)) for text in arguments.planner]
    variants = []
    for model, backend in itertools.product(arguments.model, arguments.backend):
        world_model = load_world_model(model, backend, arguments.device, seed=arguments.seed)
        goal = Goal(embedding=world_model.encode(goal_image[None])[0])
        for text, name, settings in planners:
            planner = make_recommended_planner(world_model.config.planner, name, **settings)
            variants.append(
                Variant(
                    name=f'{Path(model).name} {backend}/{world_model.backend.device} {text}',
                    settings=asdict(planner.config),
                    controller=ModelPredictiveController(world_model, planner, arguments.seed),
                    goal=goal,
                )
            )
    return variants


def measure(variants: list[Variant], images: Iterable[np.ndarray]) -> None:
    """Run all variants on each image, every time starting with another one."""
    for index, image in enumerate(images):
        first = index % len(variants)
        for variant in variants[first:] + variants[:first]:
            variant.run(image)


def set_threads(wanted: int | None) -> int:
    """Set the number of torch's threads, if given, and return it."""
    import torch

    if wanted is not None:
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def machine(threads: int) -> dict[str, Any]:
    """Return what the numbers depend on besides the code."""
    return {
        'processor': platform.processor() or platform.machine(),
        'cores': os.cpu_count(),
        'threads': threads,
        'load_before': os.getloadavg()[0],
        'python': platform.python_version(),
    }


def print_table(results: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Print one line per variant."""
    width = max(len(result['variant']) for result in results)
    print(
        f'{about["cores"]} cores, {about["threads"]} threads, load before the start '
        f'{about["load_before"]:.1f}; seconds from image to command, {results[0]["repeats"]} plans'
    )
    if about['load_before'] > BUSY * about['cores']:
        print('Other processes were busy before the start: the times are too long.')
    print(f'{"variant":{width}}  evals  median     p10     p90  encode    plan  plans/s')
    for result in results:
        total = result['seconds']
        print(
            f'{result["variant"]:{width}}  {result["evaluations"]:5d}'
            f'  {total["p50"]:6.3f}  {total["p10"]:6.3f}  {total["p90"]:6.3f}'
            f'  {result["encode_seconds"]["p50"]:6.3f}  {result["plan_seconds"]["p50"]:6.3f}'
            f'  {result["plans_per_second"]:7.2f}'
        )


def main() -> int:
    """Measure and report."""
    arguments = parse_arguments()
    rng = np.random.default_rng(arguments.seed)
    shape = (*arguments.image_size, 3)
    images = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in itertools.count())
    about = machine(set_threads(arguments.threads))
    try:
        variants = make_variants(arguments, next(images))
    except (VjepaPlannerError, argparse.ArgumentTypeError) as error:
        print(f'plan_latency: {error}', file=sys.stderr)
        return 2
    measure(variants, itertools.islice(images, arguments.warm_up))
    for variant in variants:
        variant.forget_times()
    measure(variants, itertools.islice(images, arguments.repeats))
    results = [variant.summary() for variant in variants]
    print_table(results, about)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({'machine': about, 'results': results}, indent=2) + '\n'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
