# SPDX-License-Identifier: Apache-2.0
"""The same motion as a recording of every kind, in real files: what the tests of readers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path

import h5py
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from vjepa_planner.data.dataset_writer import DatasetWriter
from vjepa_planner.data.episode import Episode
from vjepa_planner.data.episodes import Episodes
from vjepa_planner.geometry import euler_to_quaternion_xyzw

SECOND = 1_000_000_000
FRAMES = 6
HEIGHT, WIDTH = 48, 64
DROID_RATE = 15
CAMERA_RATE = 4
POSE_RATE = 18  # so that poses and images rarely coincide
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Motion:
    """One state and one colour per second.

    Attributes:
        states: Shape (seconds, 7).
        colors: Of the whole image, RGB, shape (seconds, 3).
    """

    states: npt.NDArray[np.float64]
    colors: npt.NDArray[np.uint8]

    def state_at(self, time: float) -> npt.NDArray[np.float64]:
        """Return the state at a time [s]: straight from each to the next."""
        seconds = np.arange(len(self.states))
        return np.array([np.interp(time, seconds, column) for column in self.states.T])

    def image_at(self, time: float) -> npt.NDArray[np.uint8]:
        """Return the image at a time [s]: the colour changes half-way between whole seconds."""
        second = min(int(time + 0.5), len(self.colors) - 1)
        return np.full((HEIGHT, WIDTH, 3), self.colors[second], np.uint8)


def make_motion(seed: int = 0) -> Motion:
    """Return a smooth motion whose colours are easily told apart."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(-0.05, 0.05, (FRAMES, 7))
    states = np.array([0.5, 0.0, 0.3, 3.0, 0.1, -0.5, 0.5]) + np.cumsum(steps, axis=0)
    colors = np.array([[40 * i + 20, 230 - 40 * i, 60 * (i % 4)] for i in range(FRAMES)], np.uint8)
    return Motion(states, colors)


def make_episode(motion: Motion, seed: int | None = None, size: int = 32) -> Episode:
    """Return the motion as an episode of square images."""
    images = np.stack([motion.image_at(i)[:size, :size] for i in range(len(motion.states))])
    return Episode(
        images=images, states=motion.states.astype(np.float32), step_duration=1.0, seed=seed
    )


def write_episodes(root: Path, episodes: Episodes) -> Path:
    """Write episodes in memory as a dataset of ours."""
    with DatasetWriter(root) as writer:
        for images, states, seed in zip(
            episodes.images, episodes.states, episodes.seeds, strict=True
        ):
            writer.add(Episode(images=images, states=states, step_duration=0.66, seed=int(seed)))
    return root


# -- ROS 2 bags --------------------------------------------------------------------------------


def write_bag(
    path: Path,
    motion: Motion,
    storage: StoragePlugin = StoragePlugin.MCAP,
    *,
    compressed: bool = False,
    gap: tuple[float, float] | None = None,
    backwards: bool = False,
) -> Path:
    """Write a bag with images at 4 Hz, poses and joint states at 18 Hz.

    Args:
        path: Of the directory.
        motion: What is recorded.
        storage: MCAP or SQLite.
        compressed: Whether images are PNG.
        gap: From when to when the camera says nothing [s].
        backwards: Whether the camera's clock is set back half-way.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    time_type, header_type = (
        types['builtin_interfaces/msg/Time'],
        types['std_msgs/msg/Header'],
    )
    image_name = f'sensor_msgs/msg/{"CompressedImage" if compressed else "Image"}'
    length = len(motion.states) - 1

    def header(time: float, frame: str) -> object:
        stamp = START + round(time * SECOND)
        return header_type(time_type(stamp // SECOND, stamp % SECOND), frame)

    def image(time: float, stamp: float) -> object:
        pixels = motion.image_at(time)
        if compressed:
            from vjepa_planner.data.pictures import encode_png

            data = np.frombuffer(encode_png(pixels), np.uint8)
            return types[image_name](header(stamp, 'camera'), 'png', data)
        flat = np.ascontiguousarray(pixels[:, :, ::-1]).ravel()
        return types[image_name](
            header(stamp, 'camera'), HEIGHT, WIDTH, 'bgr8', 0, 3 * WIDTH, flat
        )

    def pose(time: float, place: float) -> object:
        state = motion.state_at(place)
        quaternion = euler_to_quaternion_xyzw(state[3:6])
        point = types['geometry_msgs/msg/Point'](*state[:3])
        turn = types['geometry_msgs/msg/Quaternion'](*quaternion)
        inside = types['geometry_msgs/msg/Pose'](point, turn)
        return types['geometry_msgs/msg/PoseStamped'](header(time, 'fr3_link0'), inside)

    def joints(time: float) -> object:
        finger = (1 - motion.state_at(time)[6]) * 0.04
        empty = np.zeros(0)
        names = ['fr3_finger_joint1', 'fr3_finger_joint2']
        return types['sensor_msgs/msg/JointState'](
            header(time, ''), names, np.array([finger, finger]), empty, empty
        )

    with Writer(path, version=9, storage_plugin=storage) as writer:

        def connect(topic: str, kind: str) -> object:
            return writer.add_connection(topic, kind, typestore=store)

        camera = connect('/camera/image_raw', image_name)
        poses = connect('/arm/current_pose', 'geometry_msgs/msg/PoseStamped')
        targets = connect('/arm/target_pose', 'geometry_msgs/msg/PoseStamped')
        fingers = connect('/joint_states', 'sensor_msgs/msg/JointState')

        def write(connection: object, time: float, message: object) -> None:
            # Written late, as on a busy machine: only the header stamps are right.
            raw = store.serialize_cdr(message, connection.msgtype)
            writer.write(connection, START + round((time + 0.7) * SECOND), raw)

        for k in range(length * CAMERA_RATE + 1):
            time = k / CAMERA_RATE
            if gap is None or not gap[0] < time < gap[1]:
                stamp = time - 2.0 if backwards and time > length / 2 else time
                write(camera, time, image(time, stamp))
        for k in range(length * POSE_RATE + 1):
            time = k / POSE_RATE
            write(poses, time, pose(time, time))
            write(targets, time, pose(time, 0))
            write(fingers, time, joints(time))
    return path


# -- DROID -------------------------------------------------------------------------------------


def write_video(path: Path, frames: Sequence[npt.NDArray[np.uint8]], rate: float) -> None:
    """Write an MP4 file that claims so many frames per second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(path, (width, height), fps=rate, quality=9)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


def write_droid(root: Path, motion: Motion, *, timestamps: bool = True) -> Path:
    """Write a trajectory of DROID: 15 rows per second, MP4 files that claim 60."""
    folder = root / 'LAB' / 'success' / '2023-07-01' / 'Sat_Jul__1'
    folder.mkdir(parents=True)
    times = np.arange((len(motion.states) - 1) * DROID_RATE + 1) / DROID_RATE
    states = np.stack([motion.state_at(time) for time in times])
    with h5py.File(folder / 'trajectory.h5', 'w') as file:
        file['observation/robot_state/cartesian_position'] = states[:, :6]
        file['observation/robot_state/gripper_position'] = states[:, 6]
        if timestamps:
            milliseconds = START // 1_000_000 + np.round(times * 1000).astype(np.int64)
            file['observation/timestamp/control/step_start'] = milliseconds
    frames = [motion.image_at(time) for time in times]
    write_video(folder / 'recordings/MP4/12345.mp4', frames, 60)
    metadata = {
        'uuid': 'LAB+1+2023',
        'current_task': 'move the cup',
        'left_mp4_path': 'success/2023-07-01/Sat_Jul__1/recordings/MP4/12345.mp4',
        'wrist_mp4_path': 'success/2023-07-01/Sat_Jul__1/recordings/MP4/777.mp4',
    }
    (folder / 'metadata_LAB+1+2023.json').write_text(json.dumps(metadata))
    return root


# -- LeRobot -----------------------------------------------------------------------------------

POSE_KEY = 'observation.state.cartesian_position'
GRIPPER_KEY = 'observation.state.gripper_position'
VIDEO_KEY = 'observation.images.exterior_1_left'
POSE_NAMES = {'axes': ['x', 'y', 'z', 'roll', 'pitch', 'yaw']}
_RATE = 10


def write_ours(root: Path, motions: Sequence[Motion]) -> Path:
    """Write a dataset of ours."""
    with DatasetWriter(root) as writer:
        for seed, motion in enumerate(motions):
            writer.add(make_episode(motion, seed))
    return root


def write_foreign(root: Path, motions: Sequence[Motion], version: str = 'v3.0') -> Path:
    """Write a dataset as others have them: 10 Hz, videos, state over several features."""
    legacy = version == 'v2.1'
    features = {
        VIDEO_KEY: {
            'dtype': 'video',
            'shape': [HEIGHT, WIDTH, 3],
            'names': ['height', 'width', 'channels'],
        },
        POSE_KEY: {'dtype': 'float32', 'shape': [6], 'names': POSE_NAMES},
        GRIPPER_KEY: {'dtype': 'float32', 'shape': [1], 'names': {'axes': ['gripper']}},
        'observation.state': {
            'dtype': 'float32',
            'shape': [8],
            'names': {'axes': [*(f'joint_{i}' for i in range(7)), 'gripper']},
        },
        'action': {'dtype': 'float32', 'shape': [8], 'names': None},
    }
    here = 'chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'
    there = '{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
    data = 'chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
    if not legacy:
        data = 'chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
    info = {
        'codebase_version': version,
        'fps': _RATE,
        'chunks_size': 1000,
        'data_path': f'data/{data}',
        'video_path': f'videos/{here if legacy else there}',
        'features': features,
    }
    tables, frames, rows = [], [], []
    for number, motion in enumerate(motions):
        times = np.arange((len(motion.states) - 1) * _RATE + 1) / _RATE
        begin = sum(len(table) for table in tables)
        tables.append(_foreign_rows(motion, times, number, begin))
        frames.append([motion.image_at(time) for time in times])
        place = {
            f'{kind}/{name}_index': 0
            for kind in ('data', f'videos/{VIDEO_KEY}')
            for name in ('chunk', 'file')
        }
        rows.append(
            {
                'episode_index': number,
                'tasks': ['stack'],
                'length': len(times),
                'dataset_from_index': begin,
                'dataset_to_index': begin + len(times),
                f'videos/{VIDEO_KEY}/from_timestamp': begin / _RATE,
                **place,
            }
        )
    (root / 'meta').mkdir(parents=True)
    (root / 'meta/info.json').write_text(json.dumps(info))
    if legacy:
        kept = ('episode_index', 'tasks', 'length')
        lines = [json.dumps({name: row[name] for name in kept}) for row in rows]
        (root / 'meta/episodes.jsonl').write_text('\n'.join(lines))
        for number, table in enumerate(tables):
            path = root / info['data_path'].format(episode_chunk=0, episode_index=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
            names = {'episode_chunk': 0, 'episode_index': number, 'video_key': VIDEO_KEY}
            write_video(root / info['video_path'].format(**names), frames[number], _RATE)
        return root
    for name in ('meta/episodes/chunk-000', 'data/chunk-000'):
        (root / name).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), root / 'meta/episodes/chunk-000/file-000.parquet')
    pq.write_table(pa.concat_tables(tables), root / 'data/chunk-000/file-000.parquet')
    video = root / info['video_path'].format(video_key=VIDEO_KEY, chunk_index=0, file_index=0)
    write_video(video, [image for episode in frames for image in episode], _RATE)
    return root


def _foreign_rows(
    motion: Motion, times: npt.NDArray[np.float64], number: int, begin: int
) -> pa.Table:
    states = np.stack([motion.state_at(time) for time in times]).astype(np.float32)
    count = len(times)
    return pa.table(
        {
            POSE_KEY: pa.array(states[:, :6].tolist(), pa.list_(pa.float32(), 6)),
            GRIPPER_KEY: states[:, 6],
            'observation.state': pa.array([[0.0] * 8] * count, pa.list_(pa.float32(), 8)),
            'action': pa.array([[0.0] * 8] * count, pa.list_(pa.float32(), 8)),
            'timestamp': times.astype(np.float32),
            'frame_index': np.arange(count),
            'episode_index': np.full(count, number),
            'index': begin + np.arange(count),
        }
    )


# -- shards ------------------------------------------------------------------------------------


def write_shard(root: Path, motions: Sequence[Motion], first_seed: int = 0) -> Path:
    """Write a shard as vjepa collect did before it wrote datasets."""
    episodes = [make_episode(motion) for motion in motions]
    root.mkdir(parents=True, exist_ok=True)
    np.savez(
        root / f'shard-{first_seed:06d}.npz',
        images=np.stack([episode.images for episode in episodes]),
        states=np.stack([episode.states for episode in episodes]),
        seeds=np.arange(first_seed, first_seed + len(episodes)),
    )
    return root
