# SPDX-License-Identifier: Apache-2.0
"""How nodes that look take images: as they are, or compressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vjepa_planner.errors import UnknownNameError
from vjepa_ros import qos
from vjepa_ros.settings import setting

RAW, COMPRESSED = 'raw', 'compressed'
_MESSAGES: dict[str, type] = {RAW: Image, COMPRESSED: CompressedImage}


@dataclass(frozen=True, kw_only=True)
class ImageInputConfig:
    """How images come."""

    image_transport: str = setting(
        RAW,
        'raw: sensor_msgs/Image on the topic image; compressed: sensor_msgs/CompressedImage (JPEG '
        'or PNG) on the topic that image is remapped to, with /compressed behind it',
        read_only=True,
    )

    def __post_init__(self) -> None:
        """Check what ranges cannot.

        Raises:
            UnknownNameError: There is no such transport.
        """
        if self.image_transport not in _MESSAGES:
            raise UnknownNameError('image_transport', self.image_transport, tuple(_MESSAGES))


def image_topic(node: Node, transport: str) -> tuple[type, str]:
    """Return type and name of the topic that a node takes images from, remapped."""
    topic = node.resolve_topic_name('image')
    return _MESSAGES[transport], topic if transport == RAW else f'{topic}/{COMPRESSED}'


def subscribe_to_images(
    node: Node,
    config: ImageInputConfig,
    callback: Callable[[Any], None],
    *,
    raw: bool = False,
) -> None:
    """Let a node take images; :mod:`vjepa_ros.conversions` turns either message into pixels.

    Args:
        node: That takes them.
        config: How they come.
        callback: Called with each ``Image`` or ``CompressedImage``.
        raw: Call it with the serialised message instead.
    """
    message, topic = image_topic(node, config.image_transport)
    node.create_subscription(
        message, topic, callback, qos.IMAGE, raw=raw, qos_overriding_options=qos.OVERRIDABLE
    )
