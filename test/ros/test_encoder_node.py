# SPDX-License-Identifier: Apache-2.0
"""The encoder: the newest good image becomes an embedding, anything else a clear complaint."""

from __future__ import annotations

from array import array
import threading

from builtin_interfaces.msg import Time
import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.srv import Encode
from vjepa_planner import load_world_model
from vjepa_planner.errors import UnknownNameError
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode


@pytest.fixture
def encoder(graph, tiny_model):
    graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu', 'image_max_age': 10.0})
    graph.encoder = EncoderNode()
    graph.start(graph.encoder)
    graph.embeddings = graph.record(Embedding, 'embedding', qos.RESULT)
    graph.images = graph.publisher(Image, 'image', qos.CAMERA)
    graph.wait_for_status('encoder', Status.WAITING, 'no image yet')
    return graph


def test_an_embedding_is_that_of_the_library_and_keeps_the_stamp(
    encoder, tiny_model, camera_image
) -> None:
    header = Header(stamp=encoder.now(), frame_id='camera')
    encoder.images.publish(conversions.image_to_message(camera_image, header))
    message = encoder.wait_until(lambda: encoder.embeddings, 'embedding')[0]
    expected = load_world_model(tiny_model, device='cpu').encode(camera_image[None])[0]
    np.testing.assert_array_equal(conversions.embedding_from_message(message), expected)
    assert (message.header, message.model) == (header, 'tiny')
    assert encoder.wait_for_status('encoder', Status.EXECUTING).accepted == 1


def test_compressed_images_are_taken_from_beside_the_remapped_topic(
    graph, tiny_model, camera_image
) -> None:
    model = {'model': str(tiny_model), 'device': 'cpu', 'image_max_age': 10.0}
    graph.begin('encoder:image:=/camera/color', encoder={**model, 'image_transport': 'compressed'})
    graph.start(EncoderNode())
    embeddings = graph.record(Embedding, 'embedding', qos.RESULT)
    images = graph.publisher(CompressedImage, '/camera/color/compressed', qos.CAMERA)
    graph.wait_for_status('encoder', Status.WAITING, 'no image yet')
    _, data = cv2.imencode('.png', camera_image[:, :, ::-1])
    header = Header(stamp=graph.now())
    images.publish(CompressedImage(header=header, format='png', data=array('B', data.tobytes())))
    message = graph.wait_until(lambda: embeddings, 'embedding')[0]
    expected = load_world_model(tiny_model, device='cpu').encode(camera_image[None])[0]
    np.testing.assert_array_equal(conversions.embedding_from_message(message), expected)
    assert message.header == header


def test_an_unknown_transport_is_refused(graph) -> None:
    graph.begin(encoder={'image_transport': 'theora'})
    with pytest.raises(UnknownNameError, match='Available: raw, compressed'):
        EncoderNode()


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        ({'encoding': 'mono8'}, "'mono8' is not supported"),
        ({'height': 0}, 'empty'),
        ({'step': 1}, 'step'),
        ({'header': Header()}, 'no stamp'),
        ({'header': Header(stamp=Time(sec=1))}, 's old'),
    ],
)
def test_a_bad_image_is_refused_and_the_next_good_one_is_encoded(
    encoder, camera_image, change, complaint
) -> None:
    bad = conversions.image_to_message(camera_image, Header(stamp=encoder.now()))
    for name, value in change.items():
        setattr(bad, name, value)
    encoder.images.publish(bad)
    encoder.wait_for_status('encoder', Status.WAITING, complaint)
    assert not encoder.embeddings

    def encoded() -> bool:  # images beyond max_rate are skipped, so more than one may be needed
        header = Header(stamp=encoder.now())
        encoder.images.publish(conversions.image_to_message(camera_image, header))
        return bool(encoder.embeddings)

    encoder.wait_until(encoded, 'embedding')
    encoder.wait_for_status('encoder', Status.EXECUTING)


def test_the_service_encodes_an_image_of_any_age(encoder, camera_image) -> None:
    message = conversions.image_to_message(camera_image, Header())
    answer = encoder.call(Encode, 'encode', Encode.Request(image=message))
    assert answer.success
    assert answer.embedding.tokens * answer.embedding.dim == len(answer.embedding.data)


def test_the_service_says_what_is_wrong_with_an_image(encoder) -> None:
    answer = encoder.call(Encode, 'encode', Encode.Request(image=Image(encoding='yuv422')))
    assert not answer.success
    assert "'yuv422' is not supported" in answer.message


@pytest.fixture
def stuck(encoder):
    """Let the model hang until the event is set, or the test ends."""
    free = threading.Event()
    encoder.encoder.model.worker.request(free.wait)
    yield free
    free.set()


def ask(encoder, image: np.ndarray):
    """Return the future answer of the service."""
    client = encoder.observer.create_client(Encode, 'encode')
    encoder.wait_until(client.service_is_ready, 'encode')
    message = conversions.image_to_message(image, Header())
    return client.call_async(Encode.Request(image=message))


def test_while_the_service_waits_for_the_model_the_heart_beats_on(
    encoder, stuck, camera_image
) -> None:
    answer = ask(encoder, camera_image)
    count = len(encoder.statuses)
    encoder.wait_until(lambda: len(encoder.statuses) > count + 3, 'heartbeats')
    assert not answer.done()


def test_the_service_gives_up_after_its_timeout(encoder, stuck, camera_image) -> None:
    encoder.encoder.set_parameters([Parameter('encode_timeout', value=0.3)])
    answer = ask(encoder, camera_image)
    encoder.wait_until(answer.done, 'answer')
    assert not answer.result().success
    assert 'did not answer within 0.3 s' in answer.result().message


def test_who_waits_for_the_model_is_told_that_the_encoder_ends(
    encoder, stuck, camera_image
) -> None:
    waiting = ask(encoder, camera_image)
    worker = encoder.encoder.model.worker
    encoder.wait_until(lambda: worker._requests, 'a request that waits')
    threading.Timer(0.2, stuck.set).start()
    encoder.end()
    encoder.wait_until(waiting.done, 'answer')
    assert waiting.result().message == 'the encoder ends.'
