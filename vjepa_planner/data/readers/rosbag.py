# SPDX-License-Identifier: Apache-2.0
"""Reads ROS 2 bags, MCAP and SQLite, without a ROS installation.

A bag is a recording of one camera, the measured pose of the end effector and the finger joints.
Header stamps count, not the times at which messages were written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import struct
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import get_typestore, Stores

from vjepa_planner.data.episode import Episode
from vjepa_planner.data.pictures import decode_image, fit_image
from vjepa_planner.data.readers.base import (
    described,
    ReadOptions,
    Source,
    SourceConfig,
    UnreadableRecordingError,
)
from vjepa_planner.data.synchronise import align, in_order, MAX_STATE_GAP, Measurements, SECOND
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.types import Image

DEFAULT_STEP_DURATION = 1.0
"""As in the training of V-JEPA 2-AC [s]."""

_IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_POSE_TYPES = ('geometry_msgs/msg/PoseStamped',)
_JOINT_TYPES = ('sensor_msgs/msg/JointState',)
_ENCODINGS = ('rgb8', 'bgr8')
_BROKEN = (AnyReaderError, ReaderError, SerdeError, OSError, ValueError, KeyError, struct.error)


@dataclass(frozen=True, kw_only=True)
class BagConfig(SourceConfig):
    """Which topics hold what; the camera's topic is ``ReadOptions.camera``."""

    pose_topic: str = described('', 'Measured pose; empty: the only one, or .../current_pose')
    joint_states_topic: str = described('', 'Finger joints; empty: any that has them')
    finger_joints: tuple[str, ...] = described(fr3.FINGER_JOINT_NAMES, 'The two finger joints')
    gripper_width: float = described(fr3.MAX_GRIPPER_WIDTH, 'Width of the open gripper [m]')
    base_frame: str = described('', 'Frame that poses must be in; empty: any')
    ee_frame: str = described(fr3.TCP_FRAME, 'Frame whose pose is measured')
    state_gap: float = described(
        MAX_STATE_GAP, 'Measurements further than this from an image do not count [s]'
    )
    task: str = described('', 'What the arm does, in words')


class BagSource(Source):
    """One bag, or a directory of bags."""

    def __init__(self, path: Path, options: ReadOptions, config: BagConfig) -> None:
        """Find the bags; see :class:`Source`."""
        super().__init__(path, options)
        self._config = config
        self._bags = _find_bags(path)

    def __len__(self) -> int:
        """Return the number of bags."""
        return len(self._bags)

    def name(self, index: int) -> str:
        """Return the name of a bag."""
        bag = self._bags[index].resolve()
        root = self.path.resolve()
        return bag.name if bag == root else str(bag.relative_to(root))

    def read(self, index: int) -> Sequence[Episode]:
        """Return the episodes of a bag; see :class:`Source`."""
        path = self._bags[index]
        try:
            with _opened(path) as reader:
                return list(self._episodes(_Bag(reader, self._config), self.origin(index)))
        except _BROKEN as error:
            raise UnreadableRecordingError(f'{path}: {error}') from error

    def _episodes(self, bag: _Bag, origin: str) -> Iterator[Episode]:
        step = self.options.step_duration or DEFAULT_STEP_DURATION
        camera = bag.find(_IMAGE_TYPES, self.options.camera or '', 'image', '--camera')
        stamps = in_order(camera[0].topic, [bag.stamp(raw) for raw in bag.raw(camera)])
        runs = align(stamps, bag.poses(), bag.closedness(), step, self._config.state_gap)
        images = self._images(bag, camera, {int(i) for run in runs for i in run.images})
        for run in runs:
            if len(run.images) > 1:
                yield Episode(
                    images=np.stack([images[int(i)] for i in run.images]),
                    states=run.states,
                    step_duration=step,
                    task=self._config.task,
                    facts={
                        'source': 'rosbag',
                        'origin': origin,
                        'camera': camera[0].topic,
                        'ee_frame': self._config.ee_frame,
                        'start': f'{stamps[run.images[0]] / SECOND:.3f}',
                    },
                )

    def _images(
        self, bag: _Bag, camera: Sequence[Connection], wanted: set[int]
    ) -> dict[int, Image]:
        return {
            number: fit_image(
                _decode(bag.message(raw, camera[0])), self.options.image_size, self.options.crop
            )
            for number, raw in enumerate(bag.raw(camera))
            if number in wanted
        }


class _Bag:
    """An open bag."""

    def __init__(self, reader: AnyReader, config: BagConfig) -> None:
        self._reader = reader
        self._config = config

    def find(self, types: Sequence[str], topic: str, preferred: str, how: str) -> list[Connection]:
        """Return the connections of one topic.

        Args:
            types: Types of messages that it may have.
            topic: Its name; empty: the only one of these types, or the one that ends in
                ``preferred``.
            preferred: Last part of the usual name.
            how: How the user names it.
        """
        fitting = [c for c in self._reader.connections if c.msgtype in types]
        topics = sorted({c.topic for c in fitting})
        usual = [name for name in topics if name.rpartition('/')[2] == preferred]
        if topic:
            chosen = [name for name in topics if name == topic]
        else:
            chosen = topics if len(topics) == 1 else usual
        if len(chosen) != 1:
            raise InvalidInputError(
                f'which topic of {" or ".join(types)}? There are '
                f'{", ".join(topics) or "none"}. Say it with {how}.'
            )
        return [c for c in fitting if c.topic == chosen[0]]

    def raw(self, connections: Sequence[Connection]) -> Iterator[bytes]:
        """Yield the messages of a topic as they are stored."""
        for _, _, raw in self._reader.messages(connections=connections):
            yield raw

    def message(self, raw: bytes, connection: Connection) -> Any:  # noqa: ANN401 - of any type
        """Return a message as an object."""
        return self._reader.deserialize(raw, connection.msgtype)

    @staticmethod
    def stamp(raw: bytes) -> int:
        """Return the stamp of a message that begins with a header, without the rest [ns].

        CDR: four bytes say in which order the bytes of numbers are, then come sec and nanosec.
        """
        seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
        return int(seconds) * SECOND + int(nanoseconds)

    def poses(self) -> Measurements:
        """Return position and quaternion xyzw over time."""
        topic = self.find(
            _POSE_TYPES, self._config.pose_topic, 'current_pose', '--set pose_topic='
        )
        stamps, values = [], []
        for raw in self.raw(topic):
            message = self.message(raw, topic[0])
            frame = message.header.frame_id
            if self._config.base_frame not in ('', frame):
                raise InvalidInputError(
                    f'{topic[0].topic} is in frame {frame!r}, not {self._config.base_frame!r}.'
                )
            point, turn = message.pose.position, message.pose.orientation
            stamps.append(self.stamp(raw))
            values.append([point.x, point.y, point.z, turn.x, turn.y, turn.z, turn.w])
        return Measurements(in_order(topic[0].topic, stamps), np.array(values))

    def closedness(self) -> Measurements:
        """Return the closedness of the gripper over time, from messages that have its joints."""
        fingers, topic = self._config.finger_joints, self._config.joint_states_topic
        stamps, values = [], []
        for connection in self._reader.connections:
            if connection.msgtype not in _JOINT_TYPES or topic not in ('', connection.topic):
                continue
            for raw in self.raw([connection]):
                message = self.message(raw, connection)
                if set(fingers) <= set(message.name):
                    position = dict(zip(message.name, message.position, strict=True))
                    width = sum(position[name] for name in fingers)
                    stamps.append(self.stamp(raw))
                    values.append([1.0 - width / self._config.gripper_width])
            if stamps:
                break
        name = f'{" and ".join(fingers)} (--set finger_joints=, joint_states_topic=)'
        return Measurements(in_order(name, stamps), np.clip(np.array(values), 0.0, 1.0))


def _find_bags(path: Path) -> list[Path]:
    """Return directories with metadata.yaml, and files of bags that belong to none."""
    if path.is_file():
        return [path]
    folders = sorted(file.parent for file in path.rglob('metadata.yaml'))
    files = [file for ending in ('*.mcap', '*.db3') for file in path.rglob(ending)]
    return folders + sorted(file for file in files if file.parent not in folders)


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    store = get_typestore(Stores.ROS2_JAZZY)  # for bags that do not bring their definitions
    with AnyReader([path], default_typestore=store) as reader:
        yield reader


def _decode(message: Any) -> Image:  # noqa: ANN401 - either type of image
    """Return an image message as RGB.

    Raises:
        InvalidInputError: Its encoding is not known, or it is damaged.
    """
    data = np.asarray(message.data, dtype=np.uint8)
    if not hasattr(message, 'encoding'):
        return decode_image(data.tobytes())
    if message.encoding not in _ENCODINGS:
        raise InvalidInputError(
            f'image encoding {message.encoding!r} is not supported, only {", ".join(_ENCODINGS)}.'
        )
    height, width, step = message.height, message.width, message.step
    if step < 3 * width or len(data) != step * height:
        raise InvalidInputError(f'an image of {width} x {height} px has {len(data)} bytes.')
    image = data.reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return np.ascontiguousarray(image[:, :, ::-1] if message.encoding == 'bgr8' else image)
