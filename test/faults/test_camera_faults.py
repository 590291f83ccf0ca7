# SPDX-License-Identifier: Apache-2.0
"""Faults of the camera, and of the planner behind it: nothing of them may move the arm."""

from __future__ import annotations

from array import array
import signal
import time

import cv2
import numpy as np
from proxy import changed, delayed, dropped, duplicated, frozen, passed_on, reordered
import pytest
from rclpy.parameter import Parameter
from ros_graph import wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding, Goal, Plan, Status
from vjepa_msgs.srv import Encode
from vjepa_ros import conversions, qos

pytest.importorskip('torch')
import torch

from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.planner_node import PlannerNode

IMAGE = (Image, 'image', qos.IMAGE, qos.CAMERA)
MAX_AGE = 0.5  # [s] of an image


@pytest.fixture
def eyes(scene, tiny_model):
    """Return a scene with camera, proxy and encoder, and a planner as a process of its own."""
    model = {'model': str(tiny_model), 'device': 'cpu'}
    scene.begin(
        IMAGE,
        to='encoder',
        simulator={'image_rate': 20.0},
        encoder={**model, 'image_max_age': MAX_AGE, 'max_rate': 100.0, 'frozen_after': 0.0},
        planner={**model, 'image_max_age': 1.0},
    )
    scene.encoder = EncoderNode()
    scene.graph.start(scene.encoder)
    scene.embeddings = scene.graph.record(Embedding, 'embedding', qos.RESULT)
    scene.graph.wait_for_status('encoder', Status.EXECUTING)
    return scene


def says(scene, text: str, since: float = 0.0) -> float:
    """Return when the encoder said something [s, steady]."""
    scene.graph.wait_for_status('encoder', Status.WAITING, text)
    return time.monotonic() - since


def assert_blind_and_sees_again(scene) -> None:
    """Check that no embedding comes any more, and that they come once the fault is over."""
    scene.wait(0.2)
    count = len(scene.embeddings)
    scene.wait(0.5)
    assert len(scene.embeddings) == count
    scene.proxy.heal('image')
    wait_until(lambda: len(scene.embeddings) > count, 'an embedding')
    scene.graph.wait_for_status('encoder', Status.EXECUTING)


@pytest.mark.case(1, 'the camera stops', 'said within its age and 100 ms; no plan, the arm rests')
def test_case_01_camera_stops(eyes, reaction) -> None:
    eyes.proxy.spoil('image', dropped)
    wait_until(lambda: 'image' in eyes.proxy.began, 'the fault')
    last = eyes.proxy.last['image']
    said = says(eyes, 'does the camera run?', last)
    reaction('too old to status', said - MAX_AGE, 0.1)
    eyes.assert_still()
    assert_blind_and_sees_again(eyes)


@pytest.mark.case(2, 'the camera is frozen under fresh stamps', 'refused after frozen_after')
def test_case_02_camera_frozen(eyes) -> None:
    eyes.encoder.set_parameters([Parameter('frozen_after', value=0.7)])
    eyes.proxy.spoil('image', frozen())
    says(eyes, 'is the camera frozen?')
    eyes.proxy.heal('image')
    count = len(eyes.embeddings)
    eyes.plan(*eyes.step())  # the simulated camera has no noise: only motion changes its pictures
    wait_until(lambda: len(eyes.embeddings) > count, 'an embedding')


@pytest.mark.case(3, 'images arrive 0.8 s late', 'too old: refused')
def test_case_03_late_images(eyes) -> None:
    eyes.proxy.spoil('image', delayed(0.8))
    says(eyes, 's old, at most')
    assert_blind_and_sees_again(eyes)


@pytest.mark.case(4, 'stamps that are zero, or from the future', 'refused, never taken for fresh')
@pytest.mark.parametrize(
    ('seconds', 'complaint'), [(None, 'has no stamp'), (30, 'from the future')], ids=['0', '+30 s']
)
def test_case_04_stamps(eyes, seconds, complaint) -> None:
    def shift(message: Image) -> None:
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = (0, 0) if seconds is None else (stamp.sec + seconds, 0)

    eyes.proxy.spoil('image', changed(shift))
    if seconds is None:
        says(eyes, complaint)
    else:
        says(eyes, 'in the future')
    assert_blind_and_sees_again(eyes)


@pytest.mark.case(5, 'images twice or in another order', 'only newer ones are encoded')
@pytest.mark.parametrize('fault', [duplicated(2), reordered(3)], ids=['twice', 'turned round'])
def test_case_05_order(eyes, fault) -> None:
    eyes.proxy.spoil('image', fault)
    count = len(eyes.embeddings)
    wait_until(lambda: len(eyes.embeddings) > count + 5, 'embeddings')
    stamps = [conversions.nanoseconds_from_stamp(one.header.stamp) for one in eyes.embeddings]
    assert stamps == sorted(set(stamps))


def wrong_encoding(message: Image) -> None:
    message.encoding = '16UC1'


def truncated(message: Image) -> None:
    message.data = message.data[:-100]


def empty(message: Image) -> None:
    message.height = message.width = message.step = 0
    message.data = type(message.data)('B')


def wrong_step(message: Image) -> None:
    message.step -= 1


@pytest.mark.case(6, 'wrong encoding, truncated, empty, wrong step', 'refused; the node lives')
@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (wrong_encoding, "'16UC1' is not supported"),
        (truncated, 'do not fit'),
        (empty, 'empty'),
        (wrong_step, 'do not fit'),
    ],
)
def test_case_06_malformed_images(eyes, change, complaint) -> None:
    eyes.proxy.spoil('image', changed(change))
    says(eyes, complaint)
    assert_blind_and_sees_again(eyes)


@pytest.mark.case(8, 'the resolution changes while it runs', 'refused once and said; then taken')
def test_case_08_resolution(eyes) -> None:
    seen: list[str] = []
    eyes.graph.observer.create_subscription(
        Status, 'status', lambda status: seen.append(status.reason), qos.ALL_STATUS
    )

    def crop(message: Image) -> None:
        message.height = 24
        message.data = message.data[: 24 * message.step]

    eyes.proxy.spoil('image', changed(crop))
    wait_until(lambda: any('Was the camera changed?' in reason for reason in seen), 'it')
    eyes.graph.wait_for_status('encoder', Status.EXECUTING)


@pytest.mark.case(9, 'the quality of service of the camera does not fit', 'said within 2 s')
def test_case_09_quality_of_service(scene, tiny_model, reaction) -> None:
    scene.begin(
        simulator={'qos_overrides./vjepa/image.publisher.reliability': 'best_effort'},
        encoder={
            'model': str(tiny_model),
            'device': 'cpu',
            'qos_overrides./vjepa/image.subscription.reliability': 'reliable',
        },
    )
    began = time.monotonic()
    scene.graph.start(EncoderNode())
    scene.graph.wait_for_status('encoder', Status.WAITING, 'policy reliability is incompatible')
    reaction('start of the encoder to status', time.monotonic() - began, 2.0)


@pytest.mark.case(10, 'the lens is covered, or the image black or white', 'refused')
@pytest.mark.parametrize('level', [0, 255, 40])
def test_case_10_no_picture(eyes, level) -> None:
    def cover(message: Image) -> None:
        message.data = type(message.data)('B', bytes([level]) * len(message.data))

    eyes.proxy.spoil('image', changed(cover))
    says(eyes, 'shows nothing')
    assert_blind_and_sees_again(eyes)


@pytest.mark.case(7, 'JPEG that breaks off, or lacks its beginning', 'refused')
@pytest.mark.parametrize('spoil', [lambda data: data[: len(data) // 2], lambda data: data[7:]],
    ids=['breaks off', 'no beginning'])  # fmt: skip
def test_case_07_corrupt_jpeg(scene, tiny_model, spoil) -> None:
    encoder = {'model': str(tiny_model), 'device': 'cpu', 'max_rate': 100.0}
    scene.begin(
        encoder={**encoder, 'image_transport': 'compressed'}, simulator={'image_rate': 20.0}
    )
    jpegs = scene.graph.observer.create_publisher(CompressedImage, 'image/compressed', qos.CAMERA)
    state = {'damaged': False}

    def compress(message: Image) -> None:
        _, data = cv2.imencode('.jpg', conversions.image_from_message(message)[:, :, ::-1])
        content = bytes(data.tobytes())
        content = spoil(content) if state['damaged'] else content
        jpegs.publish(CompressedImage(header=message.header, data=array('B', content)))

    scene.graph.observer.create_subscription(Image, 'image', compress, qos.IMAGE)
    scene.graph.start(EncoderNode())
    embeddings = scene.graph.record(Embedding, 'embedding', qos.RESULT)
    scene.graph.wait_for_status('encoder', Status.EXECUTING)
    state['damaged'] = True
    says(scene, 'compressed image of')
    count = len(embeddings)
    scene.wait(0.3)
    assert len(embeddings) == count
    state['damaged'] = False
    scene.graph.wait_for_status('encoder', Status.EXECUTING)
    wait_until(lambda: len(embeddings) > count, 'an embedding')


def set_goal(scene, seed: int = 0) -> None:
    """Set a goal as the goal node does, from an image of noise."""
    goals = scene.graph.publisher(Goal, 'goal', qos.GOAL)
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    image = conversions.image_to_message(pixels, Header())
    answer = scene.graph.call(Encode, 'encode', Encode.Request(image=image))
    assert answer.success, answer.message
    goals.publish(Goal(goal_id='noise', embedding=answer.embedding))


@pytest.fixture
def thinking(eyes):
    """Return a scene with a planner process that has a goal and moves the arm."""
    eyes.planner = eyes.start_process('planner')
    eyes.graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    return eyes


@pytest.mark.case(27, 'start without a goal', 'no plan, no motion')
def test_case_27_no_goal(thinking) -> None:
    assert thinking.call('start').success
    thinking.wait_for_rest()
    thinking.assert_still()


@pytest.mark.case(
    1, 'the camera stops while plans are made and carried out', 'the arm comes to rest'
)
def test_case_01_camera_stops_in_the_loop(thinking) -> None:
    set_goal(thinking)
    wait_until(lambda: thinking.status.accepted >= 1, 'motion')
    thinking.proxy.spoil('image', dropped)
    thinking.graph.wait_for_status('encoder', Status.WAITING, 'does the camera run?')
    thinking.wait_for_rest(Status.IDLE)
    thinking.wait(1.2)  # what was seen before may still be planned from
    accepted = thinking.status.accepted
    thinking.assert_still()
    assert thinking.status.accepted == accepted
    thinking.proxy.spoil('image', passed_on)
    wait_until(lambda: thinking.status.accepted > accepted, 'plans again, by themselves')


@pytest.mark.case(
    20, 'out of memory in one cycle (raised on purpose: no GPU)', 'it fails; the next one works'
)
def test_case_20_out_of_memory(eyes, tiny_model) -> None:
    planner = PlannerNode()
    eyes.graph.start(planner)
    failures = 0

    def plan(*arguments: object) -> object:
        nonlocal failures
        if failures == 0:
            failures = 1
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
        return whole(*arguments)

    whole, planner._controller.plan = planner._controller.plan, plan
    set_goal(eyes)
    wait_until(lambda: eyes.status.accepted >= 1, 'motion')
    wait_until(lambda: eyes.graph.status('planner').accepted >= 2, 'plans')
    assert (failures, eyes.graph.status('planner').rejected) == (1, 1)


@pytest.mark.case(34, 'planner SIGSTOP for 2 s', 'the arm rests; no old plan is carried out')
def test_case_34_planner_suspended(thinking) -> None:
    plans = thinking.graph.record(Plan, 'plan', qos.RESULT)
    set_goal(thinking)
    wait_until(lambda: thinking.status.accepted >= 1, 'motion')
    thinking.planner.send_signal(signal.SIGSTOP)
    thinking.wait(1.5)
    accepted = thinking.status.accepted
    thinking.assert_still(1.0)
    count = len(plans)
    thinking.planner.send_signal(signal.SIGCONT)
    wait_until(lambda: thinking.status.accepted > accepted, 'plans again')
    new = [conversions.nanoseconds_from_stamp(plan.header.stamp) for plan in plans[count:]]
    now = conversions.nanoseconds_from_stamp(thinking.graph.now())
    assert now - new[-1] < 2_000_000_000


@pytest.mark.case(34, 'planner SIGKILL while the arm moves', 'the motion ends, the arm rests')
def test_case_34_planner_killed(thinking) -> None:
    set_goal(thinking)
    wait_until(lambda: thinking.status.state == Status.EXECUTING, 'motion')
    thinking.planner.kill()
    thinking.wait_for(Status.IDLE, since=time.monotonic())
    thinking.assert_still()


@pytest.mark.parametrize(
    'lost',
    [
        pytest.param(
            name,
            marks=pytest.mark.case(
                34, f'{name} SIGKILL: the planner notices', 'it waits, and says so within 1 s'
            ),
        )
        for name in ('commander', 'goal')
    ],
)
def test_case_34_planner_misses_a_node(scene, tiny_model, reaction, lost: str) -> None:
    model = {'model': str(tiny_model), 'device': 'cpu'}
    scene.apart = True
    scene.begin(
        simulator={'image_rate': 10.0},
        encoder={**model, 'max_rate': 100.0},
        planner=model,
        goal=model,
    )
    scene.graph.start(EncoderNode())
    processes = {'commander': scene.processes[0], 'goal': scene.start_process('goal')}
    scene.start_process('planner')
    scene.graph.wait_for_status('goal', Status.WAITING, 'no goal set')
    scene.graph.wait_for_status('planner', Status.WAITING, 'no goal set')
    set_goal(scene)
    wait_until(lambda: scene.said and scene.status.accepted >= 1, 'motion')
    processes[lost].kill()
    killed = time.monotonic()
    scene.graph.wait_for_status('planner', Status.WAITING, 'is silent: does it run?')
    reaction('SIGKILL to status', time.monotonic() - killed, 1.0)
    scene.wait(2.0)  # what was under way is over
    scene.assert_still()
