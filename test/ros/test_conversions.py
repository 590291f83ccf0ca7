# SPDX-License-Identifier: Apache-2.0
"""Conversions keep numbers exactly and refuse what is wrong, in words."""

from __future__ import annotations

from array import array
from pathlib import Path

from builtin_interfaces.msg import Time
import cv2
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding
from vjepa_msgs.msg import Plan as PlanMessage
from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.types import Plan
from vjepa_ros import conversions

FINGERS = ('fr3_finger_joint1', 'fr3_finger_joint2')
HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id='camera')


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_an_image_survives_the_round_trip(image: np.ndarray) -> None:
    message = conversions.image_to_message(image, HEADER)
    assert message.header == HEADER
    np.testing.assert_array_equal(conversions.image_from_message(message), image)


def test_bgr8_is_turned_into_rgb(image: np.ndarray) -> None:
    message = conversions.image_to_message(np.ascontiguousarray(image[:, :, ::-1]), HEADER)
    message.encoding = 'bgr8'
    np.testing.assert_array_equal(conversions.image_from_message(message), image)


def test_padding_at_the_end_of_rows_is_dropped(image: np.ndarray) -> None:
    padded = np.pad(image.reshape(24, 96), ((0, 0), (0, 4)))
    message = Image(height=24, width=32, step=100, encoding='rgb8')
    message.data = array('B', padded.tobytes())
    np.testing.assert_array_equal(conversions.image_from_message(message), image)


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'encoding': '16UC1'}, "'16UC1' is not supported.*rgb8, bgr8"),
        ({'encoding': ''}, "'' is not supported"),
        ({'height': 0}, 'empty'),
        ({'width': 0}, 'empty'),
        ({'step': 95}, 'step of at least 96'),
        ({'height': 25}, 'need.*2400 bytes, got 2304'),
        ({'data': array('B', bytes(10))}, 'got 10'),
    ],
)
def test_a_wrong_image_is_refused(
    image: np.ndarray, change: dict[str, object], complaint: str
) -> None:
    message = conversions.image_to_message(image, HEADER)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(InvalidInputError, match=complaint):
        conversions.image_from_message(message)


def compressed(image: np.ndarray, suffix: str = '.jpg') -> CompressedImage:
    _, data = cv2.imencode(suffix, image[:, :, ::-1])
    return CompressedImage(header=HEADER, format=suffix[1:], data=array('B', data.tobytes()))


def test_a_compressed_image_becomes_rgb_and_a_raw_message() -> None:
    image = np.full((24, 32, 3), (200, 120, 40), np.uint8)
    pixels = conversions.image_from_message(compressed(image))
    np.testing.assert_allclose(pixels, image, atol=3)  # JPEG loses a little
    message = conversions.raw_image(compressed(image, '.png'))
    assert message.header == HEADER
    np.testing.assert_array_equal(conversions.image_from_message(message), image)
    assert conversions.raw_image(message) is message


def test_padding_behind_a_jpeg_does_no_harm(image: np.ndarray) -> None:
    message = compressed(image)
    expected = conversions.image_from_message(message)
    message.data = array('B', bytes(message.data) + bytes(7))
    np.testing.assert_array_equal(conversions.image_from_message(message), expected)


@pytest.mark.parametrize(
    ('spoil', 'complaint'),
    [
        (lambda data: data[: len(data) // 2], 'breaks off'),
        (lambda data: data[:-2], 'breaks off'),
        (lambda _: b'', 'of 0 bytes is damaged'),
        (lambda _: b'no image', 'of 8 bytes is damaged'),
        (lambda data: data[:2] + bytes(len(data) - 4) + data[-2:], 'is damaged'),
    ],
)
def test_a_damaged_compressed_image_is_refused(image: np.ndarray, spoil, complaint: str) -> None:
    message = compressed(image)
    message.data = array('B', spoil(bytes(message.data)))
    with pytest.raises(InvalidInputError, match=complaint):
        conversions.image_from_message(message)


def test_an_image_file_is_read_as_rgb(image: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'goal.png'), image[:, :, ::-1])
    np.testing.assert_array_equal(conversions.read_image(str(tmp_path / 'goal.png')), image)


def test_a_missing_file_a_directory_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\nnothing behind the signature')
    with pytest.raises(InvalidInputError, match=r'no image file .*missing\.png'):
        conversions.read_image(str(tmp_path / 'missing.png'))
    with pytest.raises(InvalidInputError, match='no image file'):
        conversions.read_image(str(tmp_path))
    with pytest.raises(InvalidInputError, match='cannot be read as an image'):
        conversions.read_image(str(tmp_path / 'broken.png'))


@pytest.mark.parametrize('path', ['x' * 300, '~nobody-by-this-name/goal.png', 'goal\0.png'])
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(InvalidInputError, match='image file'):
        conversions.read_image(path)


def test_an_embedding_survives_the_round_trip() -> None:
    embedding = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    message = conversions.embedding_to_message(embedding, 'franka-sim', HEADER)
    assert (message.model, message.tokens, message.dim) == ('franka-sim', 16, 8)
    np.testing.assert_array_equal(conversions.embedding_from_message(message), embedding)


@pytest.mark.parametrize(
    'message',
    [
        Embedding(),
        Embedding(tokens=2, dim=2, data=[1.0, 2.0, 3.0]),
        Embedding(tokens=1, dim=2, data=[1.0, float('nan')]),
    ],
    ids=['empty', 'too short', 'NaN'],
)
def test_a_wrong_embedding_is_refused(message: Embedding) -> None:
    with pytest.raises(InvalidInputError, match='embedding'):
        conversions.embedding_from_message(message)


def test_a_plan_survives_the_round_trip() -> None:
    state = np.array([0.4, 0.1, 0.2, 3.1, 0.0, -0.1, 0.5])
    plan = Plan(
        actions=np.arange(14.0).reshape(2, 7),
        energy=0.25,
        current_energy=0.5,
        evaluations=64,
        duration=0.3,
        stamp=1.0,
        goal_id='goal-1',
    )
    message = conversions.plan_to_message(plan, state, HEADER)
    np.testing.assert_array_equal(conversions.actions_from_message(message), plan.actions)
    np.testing.assert_array_equal(conversions.state_from_message(message), state)
    assert (message.goal_id, message.energy, message.current_energy) == ('goal-1', 0.25, 0.5)
    assert message.header.stamp == HEADER.stamp


def test_a_path_begins_at_the_state_and_has_a_pose_after_each_action() -> None:
    state = np.array([0.4, 0.1, 0.3, np.pi, 0.0, 0.0, 0.0])
    actions = np.zeros((2, 7))
    actions[:, 0], actions[1, 5] = 0.05, np.pi / 2
    numbers = {'energy': 0.1, 'current_energy': 0.2, 'duration': 0.1, 'stamp': 0.0}
    plan = Plan(actions=actions, evaluations=1, **numbers)
    path = conversions.path_to_message(plan, state, HEADER)
    assert path.header == HEADER
    assert [pose.position.x for pose in path.poses] == pytest.approx([0.4, 0.45, 0.5])
    ends = [path.poses[index].orientation for index in (0, 1, 2)]
    assert (ends[0].x, ends[1].x) == pytest.approx((1.0, 1.0))
    assert abs(ends[2].x) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize(
    'message',
    [
        PlanMessage(),
        PlanMessage(horizon=2, actions=[0.0] * 7),
        PlanMessage(horizon=1, actions=[0.0] * 6 + [float('inf')]),
    ],
    ids=['empty', 'wrong horizon', 'infinity'],
)
def test_a_wrong_plan_is_refused(message: PlanMessage) -> None:
    with pytest.raises(InvalidInputError, match='plan'):
        conversions.actions_from_message(message)


def test_a_pose_survives_the_round_trip_through_the_state() -> None:
    position = np.array([0.4, -0.1, 0.3])
    quaternion = geometry.euler_to_quaternion_xyzw([3.0, 0.1, -0.7])
    message = conversions.pose_to_message(position, quaternion, HEADER)
    read_position, read_quaternion = conversions.pose_from_message(message)
    np.testing.assert_allclose(read_position, position)
    np.testing.assert_allclose(read_quaternion, quaternion)
    state = conversions.state_from_pose(position, quaternion, 0.25)
    np.testing.assert_allclose(state, [0.4, -0.1, 0.3, 3.0, 0.1, -0.7, 0.25])


def test_a_pose_with_nan_or_without_rotation_is_refused() -> None:
    without_rotation, with_nan = PoseStamped(), PoseStamped()
    without_rotation.pose.orientation.w = 0.0
    with_nan.pose.position.x = float('nan')
    for message in (without_rotation, with_nan):
        with pytest.raises(InvalidInputError, match='pose needs finite'):
            conversions.pose_from_message(message)


def test_closedness_is_found_by_joint_name_in_any_order() -> None:
    message = JointState(name=['other', FINGERS[1], FINGERS[0]], position=[9.0, 0.01, 0.03])
    assert conversions.closedness_from_message(message, FINGERS) == pytest.approx(0.5)
    assert conversions.closedness_from_message(JointState(name=['other']), FINGERS) is None
    with pytest.raises(InvalidInputError, match='names but 0 positions'):
        conversions.closedness_from_message(JointState(name=list(FINGERS)), FINGERS)


def test_stamps_keep_every_nanosecond() -> None:
    nanoseconds = conversions.nanoseconds_from_stamp(HEADER.stamp)
    assert nanoseconds == 1_700_000_000_123_456_789
    assert conversions.stamp_from_nanoseconds(nanoseconds) == HEADER.stamp
