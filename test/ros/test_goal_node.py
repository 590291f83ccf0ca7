# SPDX-License-Identifier: Apache-2.0
"""The goal node: a good goal replaces the one before, a bad one changes nothing."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Goal, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode


@pytest.fixture
def goals(graph, tiny_model):
    graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu'}, goal={'image_max_age': 20.0})
    graph.start(EncoderNode())
    graph.start(GoalNode())
    graph.goals = graph.record(Goal, 'goal', qos.GOAL)
    graph.wait_for_status('goal', Status.WAITING, 'no goal set')
    return graph


def set_goal(graph, **fields) -> SetGoalImage.Response:
    return graph.call(SetGoalImage, 'set_goal_image', SetGoalImage.Request(**fields))


def test_a_goal_is_set_from_a_message_and_then_from_a_file(goals, camera_image, tmp_path) -> None:
    first = set_goal(goals, image=conversions.image_to_message(camera_image, Header()))
    assert first.success, first.message
    cv2.imwrite(str(tmp_path / 'goal.png'), camera_image[::-1])
    second = set_goal(goals, path=str(tmp_path / 'goal.png'))
    assert second.success, second.message
    assert second.goal_id != first.goal_id
    goals.wait_until(lambda: len(goals.goals) == 2, 'goals')
    assert [goal.goal_id for goal in goals.goals] == [first.goal_id, second.goal_id]
    one, other = (conversions.embedding_from_message(goal.embedding) for goal in goals.goals)
    assert np.abs(one - other).max() > 0.0
    assert goals.wait_for_status('goal', Status.IDLE).goal_id == second.goal_id


def test_the_same_image_by_file_and_by_message_is_the_same_goal(
    goals, camera_image, tmp_path
) -> None:
    cv2.imwrite(str(tmp_path / 'goal.png'), camera_image[:, :, ::-1])
    set_goal(goals, path=str(tmp_path / 'goal.png'))
    set_goal(goals, image=conversions.image_to_message(camera_image, Header()))
    goals.wait_until(lambda: len(goals.goals) == 2, 'goals')
    assert goals.goals[0].embedding.data == goals.goals[1].embedding.data


def test_who_starts_later_gets_the_goal_too(goals, camera_image) -> None:
    answer = set_goal(goals, image=conversions.image_to_message(camera_image, Header()))
    late = goals.record(Goal, 'goal', qos.GOAL)
    goals.wait_until(lambda: late, 'latched goal')
    assert late[0].goal_id == answer.goal_id


def test_the_picture_of_the_goal_in_force_is_shown_also_to_who_starts_later(goals, camera_image):
    set_goal(goals, image=conversions.image_to_message(camera_image[::-1], Header()))
    set_goal(goals, image=conversions.image_to_message(camera_image, Header()))
    shown = goals.record(Image, 'goal_image', qos.GOAL)
    goals.wait_until(lambda: shown, 'a latched picture')
    assert (conversions.image_from_message(shown[-1]) == camera_image).all()


def test_a_bad_goal_is_refused_with_a_reason_and_the_old_one_stays(
    goals, camera_image, tmp_path
) -> None:
    good = conversions.image_to_message(camera_image, Header())
    in_force = set_goal(goals, image=good).goal_id
    (tmp_path / 'broken.png').write_bytes(b'no image')
    depth = conversions.image_to_message(camera_image, Header())
    depth.encoding = '16UC1'
    for fields, complaint in (
        ({'path': str(tmp_path / 'missing.png')}, 'there is no image file'),
        ({'path': str(tmp_path)}, 'there is no image file'),
        ({'path': str(tmp_path / 'broken.png')}, 'cannot be read as an image'),
        ({'image': depth}, "'16UC1' is not supported"),
        ({'image': Image(height=4, width=4, encoding='rgb8', step=12)}, 'do not fit'),
        ({}, 'got neither'),
        ({'image': good, 'path': '/tmp/goal.png'}, 'got both'),
    ):
        answer = set_goal(goals, **fields)
        assert not answer.success
        assert complaint in answer.message
        assert f'{in_force} stays in force' in answer.message
        assert answer.goal_id == in_force
    assert goals.wait_for_status('goal', Status.IDLE).rejected == 7
    assert len(goals.goals) == 1


def test_the_present_camera_image_becomes_the_goal(goals, camera_image) -> None:
    too_early = goals.call(Trigger, 'capture_goal')
    assert not too_early.success
    assert 'no camera image' in too_early.message
    images = goals.publisher(Image, 'image', qos.CAMERA)

    def captured() -> bool:  # images are best effort
        images.publish(conversions.image_to_message(camera_image, Header(stamp=goals.now())))
        return goals.call(Trigger, 'capture_goal').success

    goals.wait_until(captured, 'capture')
    goals.wait_until(lambda: goals.goals, 'goal')


def test_a_compressed_camera_image_becomes_the_same_goal(graph, tiny_model, camera_image) -> None:
    goal = {'image_max_age': 20.0, 'image_transport': 'compressed'}
    graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu'}, goal=goal)
    graph.start(EncoderNode())
    graph.start(GoalNode())
    pictures = graph.record(Image, 'goal_image', qos.GOAL)
    images = graph.publisher(CompressedImage, 'image/compressed', qos.CAMERA)
    _, data = cv2.imencode('.png', camera_image[:, :, ::-1])
    content = array('B', data.tobytes())

    def captured() -> bool:
        images.publish(CompressedImage(header=Header(stamp=graph.now()), data=content))
        return graph.call(Trigger, 'capture_goal').success

    graph.wait_until(captured, 'capture')
    picture = graph.wait_until(lambda: pictures, 'picture of the goal')[-1]
    np.testing.assert_array_equal(conversions.image_from_message(picture), camera_image)


def test_without_an_encoder_the_answer_says_so(graph, camera_image) -> None:
    graph.begin()
    graph.start(GoalNode())
    answer = set_goal(graph, image=conversions.image_to_message(camera_image, Header()))
    assert not answer.success
    assert 'encoder is not running' in answer.message
    assert 'there is no goal yet' in answer.message
