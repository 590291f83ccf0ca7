# SPDX-License-Identifier: Apache-2.0
"""The encoder: the newest good image becomes an embedding, anything else a clear complaint."""

from __future__ import annotations

from builtin_interfaces.msg import Time
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.srv import Encode
from vjepa_planner import load_world_model
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode


@pytest.fixture
def encoder(graph, tiny_model):
    graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu', 'image_max_age': 10.0})
    graph.start(EncoderNode(), threads=2)
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
