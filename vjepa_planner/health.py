# SPDX-License-Identifier: Apache-2.0
"""What ``vjepa doctor`` finds, and what it finds about a model and the machine that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from shutil import which
import subprocess
import time
from typing import TYPE_CHECKING

from vjepa_planner.errors import VjepaPlannerError

if TYPE_CHECKING:
    from vjepa_planner.world_model import WorldModel

SLOW_PLAN = 2.0
"""A plan that takes longer than this is older than the commander takes by default [s]."""

_DRIVER_TIMEOUT = 30.0  # [s]
_PICTURE_SIZE = 256  # [px] of the image that is planned from


class Level(Enum):
    """How bad it is."""

    OK = 'ok'
    WARN = 'warn'
    FAIL = 'fail'
    SKIPPED = 'skipped'


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at.
        level: How bad it is.
        found: What was found.
        expected: What should be there; empty where ``found`` says it all.
        advice: What to do; empty if nothing is to be done.
    """

    check: str
    level: Level
    found: str
    expected: str = ''
    advice: str = ''

    def as_dict(self) -> dict[str, str]:
        """Return it as strings."""
        return {**vars(self), 'level': self.level.value}


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model is checked, and what it runs on; see ``load_world_model``."""

    model: str
    backend: str
    device: str
    precision: str


def check_model(choice: ModelChoice) -> Iterator[Finding]:
    """Yield what is found about a model: its files, what computes, one plan."""
    yield from _check_files(choice.model)
    yield _check_engine(choice.backend)
    try:
        world_model = _load(choice)
    except VjepaPlannerError as error:
        yield Finding(
            check='model',
            level=Level.FAIL,
            found=str(error),
            expected='a model that loads',
            advice='Choose another --model or --backend; `vjepa models list` shows what is here.',
        )
        return
    engine = world_model.backend
    found = f'{world_model.config.name} runs on {engine.name}, {engine.device}'
    yield Finding(check='model', level=Level.OK, found=found)
    yield _check_plan(world_model)


def _load(choice: ModelChoice) -> WorldModel:
    from vjepa_planner.world_model import load_world_model

    return load_world_model(
        choice.model, backend=choice.backend, device=choice.device, precision=choice.precision
    )


def _check_files(model: str) -> Iterator[Finding]:
    """Compare sizes, checksums and structure with what is published, where something is."""
    from vjepa_planner.integrity import check_file, files_of
    from vjepa_planner.model_files import find_model, UNTRAINED

    if model == UNTRAINED:
        found = 'random weights have no files'
        yield Finding(check='model files', level=Level.SKIPPED, found=found)
        return
    try:
        checks = [
            one for path, file in files_of(find_model(model)) for one in check_file(path, file)
        ]
    except (VjepaPlannerError, OSError) as error:
        advice = '`vjepa models list` shows what is here.'
        yield Finding(check='model files', level=Level.FAIL, found=str(error), advice=advice)
        return
    wrong = [f'{one.file}: {one.what} {one.detail}' for one in checks if one.passed is False]
    compared = sum(one.passed is True for one in checks)
    yield Finding(
        check='model files',
        level=Level.FAIL if wrong else Level.OK,
        found='; '.join(wrong) or f'{compared} of {len(checks)} facts compared, none is wrong',
        advice='Delete the file and download it again.' if wrong else '',
    )


def _check_engine(backend: str) -> Finding:
    """Say what computes, and whether a GPU is at hand."""
    from vjepa_planner.backends import engine_package

    package = engine_package(backend)
    if find_spec(package) is None:
        advice = f'Install it, or choose another --backend than {backend}.'
        return Finding(
            check='engine', level=Level.FAIL, found=f'no package {package!r}', advice=advice
        )
    if package == 'onnxruntime':
        return _check_providers()
    return _check_gpu()


def _check_providers() -> Finding:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    usable = [name for name in providers if name not in ('AzureExecutionProvider',)]
    found = f'onnxruntime {onnxruntime.__version__}: {", ".join(usable)}'
    return Finding(check='engine', level=Level.OK, found=found)


def _check_gpu() -> Finding:
    names = _gpu_names()
    if names:
        return Finding(check='engine', level=Level.OK, found=f'GPU: {", ".join(names)}')
    return Finding(
        check='engine',
        level=Level.WARN,
        found='no NVIDIA GPU',
        expected='a GPU for models of the size of ViT-g; a CPU is enough for franka-sim',
        advice='On a robot install the NVIDIA driver and a torch with CUDA.',
    )


def _gpu_names() -> list[str]:
    """Ask the driver, which answers without torch, too."""
    if which('nvidia-smi') is None:
        return []
    command = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader']
    answer = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT)
    return answer.stdout.splitlines() if answer.returncode == 0 else []


def _check_plan(world_model: WorldModel) -> Finding:
    """Make a plan as the planner node does, and say how long it takes."""
    import numpy as np

    from vjepa_planner.mpc import ModelPredictiveController
    from vjepa_planner.planners import make_recommended_planner
    from vjepa_planner.types import Goal, Observation

    if not world_model.can_plan:
        found = 'the model has no action-conditioned predictor'
        return Finding(check='plan', level=Level.FAIL, found=found, advice='Choose another one.')
    shape = (2, _PICTURE_SIZE, _PICTURE_SIZE, 3)
    now, goal = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    planner = make_recommended_planner(world_model.config.planner)
    controller = ModelPredictiveController(world_model, planner)
    state = np.array([0.5, 0.0, 0.3, np.pi, 0.0, 0.0, 0.0])
    try:
        controller.plan(Observation(image=now, state=state), Goal(image=goal))  # warms up
        begin = time.perf_counter()
        plan = controller.plan(Observation(image=now, state=state), Goal(image=goal))
    except (VjepaPlannerError, RuntimeError) as error:
        return Finding(check='plan', level=Level.FAIL, found=str(error))
    seconds = time.perf_counter() - begin
    slow = seconds > SLOW_PLAN
    return Finding(
        check='plan',
        level=Level.WARN if slow else Level.OK,
        found=f'{seconds:.2f} s with {plan.evaluations} evaluations, image to action',
        expected=f'less than {SLOW_PLAN:g} s',
        advice='Use a GPU or fewer samples, or raise plan_max_age and image_max_age.'
        if slow
        else '',
    )
