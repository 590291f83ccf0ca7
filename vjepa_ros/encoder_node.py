# SPDX-License-Identifier: Apache-2.0
"""The node ``encoder``: images in, embeddings out; and a service for single images.

The service waits for the model's worker without holding up the thread of the executor: heartbeat
and images go on, and no hand-over to another thread delays them.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
import time

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding, Status
from vjepa_msgs.srv import Encode
from vjepa_planner.errors import InvalidInputError, VjepaPlannerError
from vjepa_ros import conversions, qos
from vjepa_ros.ages import check_age
from vjepa_ros.image_input import ImageInputConfig, subscribe_to_images
from vjepa_ros.image_watch import ImageWatch
from vjepa_ros.lifecycle import ManagedNode
from vjepa_ros.model import Model
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.spin import run

_SECOND = 1_000_000_000  # [ns]
_SILENCE_CHECK = 0.1  # [s]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ImageInputConfig):
    """When the encoder encodes, and how images come."""

    max_rate: float = setting(
        10.0, 'Images beyond this rate are skipped [Hz]', minimum=0.1, maximum=200.0
    )
    image_max_age: float = setting(
        1.0, 'Images older than this are refused [s]', minimum=0.01, maximum=60.0
    )
    frozen_after: float = setting(
        0.0,
        'Images whose pixels are all the same for longer than this are refused; 0: never, as for '
        'simulated cameras without noise [s]',
        minimum=0.0,
        maximum=600.0,
    )
    min_contrast: float = setting(
        2.0,
        'Images whose grey values have a standard deviation below this (of 255) are refused',
        minimum=0.0,
        maximum=100.0,
    )
    encode_timeout: float = setting(
        30.0, 'Longest wait of the service encode for the model [s]', minimum=0.1, maximum=600.0
    )


class EncoderNode(ManagedNode):
    """Encodes the newest image, again and again."""

    awaits = True  # the service, for the model

    def __init__(self, model: Model | None = None) -> None:
        """Declare the parameters.

        Args:
            model: One that is shared; None for one of its own.
        """
        super().__init__('encoder')
        self._config = ConfigParameters(self, EncoderConfig())
        self.model = model or Model(self)

    def configure(self) -> None:
        """Load the model and make the endpoints."""
        self.model.acquire()
        self.on_cleanup_call(self.model.release)
        self._slot = self.model.worker.slot(self._encode_newest)
        self.on_cleanup_call(self.model.worker.remove, self._slot)
        self._last_put = 0.0  # steady time [s]
        self._last_stamp = 0  # [ns]
        self._publisher = self.create_publisher(
            Embedding, 'embedding', qos.RESULT, qos_overriding_options=qos.OVERRIDABLE
        )
        subscribe_to_images(self, self._config.value, self._on_image)
        self.create_timer(
            _SILENCE_CHECK, self._notice_silence, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.create_service(
            Encode, 'encode', self._on_encode, callback_group=MutuallyExclusiveCallbackGroup()
        )

    def activate(self) -> None:
        """Encode what comes from now on."""
        self._watch = ImageWatch()
        self._last_image = 0.0  # steady time [s]
        self.status.update(state=Status.WAITING, reason='no image yet')

    def deactivate(self) -> None:
        """Finish the image at hand."""
        self._slot.drain()

    def _notice_silence(self) -> None:
        """Say so when images stay away that came before."""
        if not self.is_active:
            return
        silence = time.monotonic() - self._last_image
        if self._last_image and silence > self._config.value.image_max_age:
            self.status.update(
                state=Status.WAITING, reason=f'no image for {silence:.0f} s: does the camera run?'
            )

    def _on_image(self, message: Image | CompressedImage) -> None:
        if not self.is_active:
            return
        now = self._last_image = time.monotonic()
        if now - self._last_put < 1.0 / self._config.value.max_rate:
            self.diagnostics.count('images beyond max_rate')
            return
        self._last_put = now
        if self._slot.put(message):
            self.diagnostics.count('images overtaken by a newer one')

    def _encode_newest(self, message: Image | CompressedImage) -> None:
        try:
            self._check_stamp(message.header)
            embedding = self._encoded(message, watched=True)
        except (VjepaPlannerError, RuntimeError) as error:
            self.status.update(state=Status.WAITING)
            self.status.reject(f'image refused: {error}')
            return
        if not self.is_active:
            return
        self._publisher.publish(embedding)
        age = self.get_clock().now().nanoseconds - self._last_stamp
        self.diagnostics.latency('image to embedding', age / _SECOND)
        self.status.accept()
        self.status.update(state=Status.EXECUTING, reason='')

    def _check_stamp(self, header: Header) -> None:
        stamp = conversions.nanoseconds_from_stamp(header.stamp)
        now = self.get_clock().now().nanoseconds
        check_age('image', stamp, now, self._config.value.image_max_age)
        if stamp <= self._last_stamp <= now:
            raise InvalidInputError('it is not newer than the one before.')
        self._last_stamp = stamp

    def _encoded(self, message: Image | CompressedImage, *, watched: bool = False) -> Embedding:
        image = conversions.image_from_message(message)
        if watched:
            config = self._config.value
            self._watch.check(image, time.monotonic(), config.frozen_after, config.min_contrast)
        with self.diagnostics.timing('encode'):
            embedding = self.model.world_model.encode(image[None])[0]
        return conversions.embedding_to_message(embedding, self.model.name, message.header)

    async def _on_encode(
        self, request: Encode.Request, response: Encode.Response
    ) -> Encode.Response:
        timeout = self._config.value.encode_timeout
        deadline = time.monotonic() + timeout
        try:
            self.check_active()
            future = self.model.worker.request(lambda: self._encoded(request.image))
            future.add_done_callback(self._wake)
            while not future.done() and time.monotonic() < deadline:
                await _NextRound()
            response.embedding = future.result(0.0)
            response.success = True
        except FutureTimeoutError:
            future.cancel()
            response.message = f'the model did not answer within {timeout:g} s.'
        except CancelledError:
            response.message = 'the encoder ends.'
        except (VjepaPlannerError, RuntimeError) as error:
            response.message = str(error)
        return response

    def _wake(self, _future: object) -> None:
        """Let the executor look at what waits for the model."""
        if self.executor is not None:
            self.executor.wake()


class _NextRound:
    """Awaited in a callback, it lets the executor do what else is there to do."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [EncoderNode()])
