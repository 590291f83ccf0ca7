# SPDX-License-Identifier: Apache-2.0
"""The controller on a real, tiny, untrained world model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch')

from vjepa_planner.approach import plan_from_above
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.mpc import GOAL_CACHE_SIZE, ModelPredictiveController
from vjepa_planner.networks import save_model_directory
from vjepa_planner.networks.untrained import make_untrained_networks
from vjepa_planner.planners import make_planner, PlanningError
from vjepa_planner.planners.base import PlannerResult
from vjepa_planner.types import Goal, Observation
from vjepa_planner.world_model import load_world_model, WorldModel

STATE = np.array([0.4, 0.0, 0.3, np.pi, 0.0, 0.0, 0.5])
SIZES = {'img_size': 32, 'patch_size': 16, 'embed_dim': 64, 'depth': 1, 'num_heads': 2}
SETTINGS = {'horizon': 2, 'num_samples': 16, 'num_iterations': 3, 'num_elites': 4}


@pytest.fixture(scope='module')
def world_model(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    config = {'encoder': SIZES, 'ac_predictor': {**SIZES, 'predictor_embed_dim': 64}}
    networks = make_untrained_networks(config, seed=0)
    path: Path = tmp_path_factory.mktemp('models') / 'tiny'
    save_model_directory(path, networks.encoder, networks.predictor, {'image_size': 32})
    return load_world_model(path, device='cpu')


class CountingWorldModel(WorldModel):
    """The world model itself, which also counts the images that it encodes."""

    encoded = 0

    def encode(self, images: np.ndarray) -> np.ndarray:
        self.encoded += len(images)
        return super().encode(images)


def counting(world_model: WorldModel) -> CountingWorldModel:
    return CountingWorldModel(world_model.backend, world_model.config)


def an_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def make_controller(world_model: WorldModel, seed: int = 0) -> ModelPredictiveController:
    return ModelPredictiveController(world_model, make_planner('cem', **SETTINGS), seed)


def observe(seed: int = 1, stamp: float = 0.0) -> Observation:
    return Observation(image=an_image(seed), state=STATE, stamp=stamp)


def test_a_plan_carries_the_stamp_and_the_goal_it_was_made_for(world_model: WorldModel) -> None:
    plan = make_controller(world_model).plan(
        observe(stamp=12.5), Goal(image=an_image(2), goal_id='cup')
    )
    assert (plan.stamp, plan.goal_id) == (12.5, 'cup')
    assert plan.actions.shape == (2, 7)
    assert plan.evaluations == 3 * 16 + 1
    assert len(plan.iteration_energies) == 3
    assert plan.duration > 0.0


def test_energies_are_those_that_the_world_model_gives_one_by_one(world_model: WorldModel) -> None:
    plan = make_controller(world_model).plan(observe(), Goal(image=an_image(2)))
    now, goal = world_model.encode(np.stack([an_image(1), an_image(2)]))
    embeddings, _ = world_model.rollout(now, STATE, plan.actions[None])
    assert plan.energy == pytest.approx(world_model.energy(embeddings[:, -1], goal)[0], abs=1e-5)
    assert plan.current_energy == pytest.approx(np.abs(now - goal).mean(), abs=1e-5)


def test_planning_lowers_the_energy_that_the_model_predicts(world_model: WorldModel) -> None:
    now = world_model.encode(an_image(1)[None])[0]
    wanted = np.array([[0.06, -0.05, 0.04, 0.0, 0.0, 0.0, 0.6]] * 2)
    goal = world_model.rollout(now, STATE, wanted[None])[0][0, -1]
    planner = make_planner('cem', **SETTINGS | {'num_samples': 64, 'num_iterations': 6})
    controller = ModelPredictiveController(world_model, planner)
    plan = controller.plan(observe(), Goal(embedding=goal))
    standing_still = world_model.candidate_energies(now, STATE, np.zeros((1, 2, 7)), goal)[0]
    assert plan.energy < 0.5 * standing_still


def test_with_a_clearance_height_predictions_are_corrected_by_the_error_of_staying(
    world_model: WorldModel,
) -> None:
    now = world_model.encode(an_image(1)[None])[0]
    planner = make_planner('cem', **SETTINGS | {'clearance_height': 0.1})
    controller = ModelPredictiveController(world_model, planner)
    at_goal = controller.plan(observe(), Goal(image=an_image(1)))
    np.testing.assert_array_equal(at_goal.actions, np.zeros((2, 7)))  # whatever it predicts
    assert at_goal.energy == pytest.approx(0.0, abs=1e-5)

    plan = controller.plan(observe(), Goal(image=an_image(2)))
    stay, moved = (
        world_model.rollout(now, STATE, actions[None])[0][0, -1]
        for actions in (np.zeros((2, 7)), plan.actions)
    )
    goal = world_model.encode(an_image(2)[None])[0]
    expected = np.abs(now + moved - stay - goal).mean()
    assert plan.energy == pytest.approx(expected, abs=1e-5)


def test_how_the_fingers_were_is_remembered_from_the_first_look_towards_each_goal(
    world_model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[bool] = []

    def noting(*arguments: object) -> PlannerResult:
        began.append(bool(arguments[-1]))
        return plan_from_above(*arguments)

    monkeypatch.setattr('vjepa_planner.mpc.plan_from_above', noting)
    controller = make_controller(world_model)
    for goal, closedness in ((2, 0.0), (2, 0.3), (3, 0.3), (3, 0.0), (2, 0.3)):
        state = np.array([*STATE[:6], closedness])
        controller.plan(
            Observation(image=an_image(1), state=state), Goal(image=an_image(goal), goal_id='g')
        )
    assert began == [False, False, True, True, True]


def test_equal_seeds_give_equal_plans_one_after_the_other(world_model: WorldModel) -> None:
    goal = Goal(image=an_image(2))

    def first_two_actions(seed: int) -> np.ndarray:
        controller = make_controller(world_model, seed)
        return np.stack([controller.plan(observe(), goal).actions for _ in range(2)])

    plans = first_two_actions(5)
    np.testing.assert_array_equal(plans, first_two_actions(5))
    assert not np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans, first_two_actions(6))


def test_an_embedding_plans_like_the_image_it_is_of(world_model: WorldModel) -> None:
    now, goal = world_model.encode(np.stack([an_image(1), an_image(2)]))
    of_images = make_controller(world_model).plan(observe(), Goal(image=an_image(2)))
    model = counting(world_model)
    of_embeddings = make_controller(model).plan(
        Observation(embedding=now, state=STATE), Goal(embedding=goal)
    )
    np.testing.assert_allclose(of_embeddings.actions, of_images.actions, atol=1e-6)
    assert model.encoded == 0


def test_a_goal_image_is_encoded_once_even_when_goals_alternate(world_model: WorldModel) -> None:
    model = counting(world_model)
    controller = make_controller(model)
    for _ in range(3):
        for name in (2, 3):
            plan = controller.plan(observe(), Goal(image=an_image(name), goal_id=str(name)))
            assert plan.goal_id == str(name)
    assert model.encoded == 6 + 2


def test_another_image_under_the_same_goal_id_is_another_goal(world_model: WorldModel) -> None:
    controller = make_controller(world_model)
    image = an_image(2)
    before = controller.plan(observe(), Goal(image=image, goal_id='same')).current_energy
    image[:] = an_image(1)  # a camera that reuses its buffer
    after = controller.plan(observe(), Goal(image=image, goal_id='same')).current_energy
    assert before > 0.01
    assert after == pytest.approx(0.0, abs=1e-5)


def test_the_memory_for_goals_is_bounded_and_forgets_the_oldest(world_model: WorldModel) -> None:
    model = counting(world_model)
    controller = ModelPredictiveController(model, make_planner('random'))
    now = world_model.encode(an_image(1)[None])[0]

    def encoded_by_planning_for(name: int) -> int:
        before = model.encoded
        controller.plan(Observation(embedding=now, state=STATE), Goal(image=an_image(name)))
        return model.encoded - before

    for name in range(GOAL_CACHE_SIZE + 1):
        assert encoded_by_planning_for(name) == 1
    assert encoded_by_planning_for(GOAL_CACHE_SIZE) == 0
    assert encoded_by_planning_for(0) == 1


@pytest.mark.parametrize('wrong', ['observation', 'goal'])
def test_an_embedding_of_another_model_is_refused_with_both_shapes(
    world_model: WorldModel, wrong: str
) -> None:
    fits = np.zeros(world_model.embedding_shape, dtype=np.float32)
    foreign = np.zeros((16, 64), dtype=np.float32)
    now, goal = (foreign, fits) if wrong == 'observation' else (fits, foreign)
    with pytest.raises(InvalidInputError, match=r"\(4, 64\) for model 'tiny', got \(16, 64\)"):
        make_controller(world_model).plan(
            Observation(embedding=now, state=STATE), Goal(embedding=goal)
        )


def test_a_state_with_nan_is_refused_before_anything_is_planned() -> None:
    with pytest.raises(InvalidInputError, match='state contains NaN'):
        Observation(image=an_image(1), state=np.full(7, np.nan))


def test_a_model_that_predicts_nan_is_a_planning_error(tmp_path: Path) -> None:
    config = {'encoder': SIZES, 'ac_predictor': {**SIZES, 'predictor_embed_dim': 64}}
    networks = make_untrained_networks(config, seed=0)
    assert networks.predictor is not None
    for parameter in networks.predictor.parameters():
        parameter.data.fill_(3e38)  # finite, or they would not load; their products are not
    save_model_directory(tmp_path / 'nan', networks.encoder, networks.predictor, {})
    controller = make_controller(load_world_model(tmp_path / 'nan', device='cpu'))
    with pytest.raises(PlanningError, match='0 of 16 candidates have a finite energy'):
        controller.plan(observe(), Goal(image=an_image(2)))
