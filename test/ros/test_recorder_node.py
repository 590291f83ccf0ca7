# SPDX-License-Identifier: Apache-2.0
"""The recorder: the real simulator's images and poses over real DDS become a dataset."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_planner.data.dataset import open_dataset
from vjepa_planner.data.inspection import inspect
from vjepa_planner.data.readers import open_source, ReadOptions
from vjepa_ros import conversions, qos

pytest.importorskip('mujoco')
from vjepa_ros.recorder_node import RecorderNode

STEP = 0.2
Usage = namedtuple('Usage', ['free'])


@pytest.fixture
def dataset(tmp_path) -> Path:
    return tmp_path / 'dataset'


def start(graph, dataset, **parameters):
    settings = {'output_directory': str(dataset), 'step_duration': STEP, 'image_size': 32}
    graph.begin(recorder=settings | {'min_free_disk': 0.0} | parameters)
    graph.recorder = RecorderNode()
    graph.start(graph.recorder)
    graph.poses = graph.record(PoseStamped, 'current_pose', qos.ROBOT_STATE)
    graph.images = graph.record(Image, 'image', qos.IMAGE)
    graph.joints = graph.record(JointState, '/joint_states', qos.ROBOT_STATE)
    graph.targets = graph.publisher(PoseStamped, 'target_pose', qos.COMMAND)
    graph.wait_until(lambda: graph.poses and graph.images and graph.joints, 'measurements')
    return graph


@pytest.fixture
def simulator(graph, tmp_path):
    """The simulator, in a process of its own: three nodes would fight for one interpreter."""
    folder = tmp_path / 'simulator'
    folder.mkdir()
    values = {'image_size': 64, 'image_rate': 10.0, 'seed': 1}
    arguments = graph.ros_arguments(folder, {'simulator': values})
    code = 'import sys; from vjepa_ros.simulator_node import main; sys.exit(main())'
    with subprocess.Popen([sys.executable, '-c', code, *arguments]) as process:
        yield process
        process.terminate()


@pytest.fixture
def recording(graph, dataset, simulator):
    return start(graph, dataset)


def begin(graph) -> str:
    """Start a recording once the recorder has got everything, and return the answer."""
    answer = None

    def begun() -> bool:
        nonlocal answer
        answer = graph.call(Trigger, 'start_recording')
        return answer.success

    graph.wait_until(begun, 'start of the recording')
    return answer.message


def stored(graph, count: int) -> None:
    """Wait until so many images are stored."""
    graph.wait_until(lambda: graph.status('recorder').accepted >= count, f'{count} images')


def move(graph) -> None:
    position, quaternion = conversions.pose_from_message(graph.poses[-1])
    goal = position + np.array([0.0, 0.06 if position[1] < 0 else -0.06, 0.0])
    header = Header(stamp=graph.now(), frame_id='fr3_link0')
    graph.targets.publish(conversions.pose_to_message(goal, quaternion, header))


def episodes(dataset: Path) -> list:
    source = open_source(dataset)
    return [source.read(i)[0] for i in range(len(source))]


def test_what_the_simulator_shows_becomes_a_dataset_that_looks_right(recording, dataset) -> None:
    assert 'which has 0 episodes' in begin(recording)
    recording.wait_for_status('recorder', Status.EXECUTING, 'recording into')
    stored(recording, 3)
    move(recording)
    stored(recording, 12)
    answer = recording.call(Trigger, 'stop_recording')
    assert answer.success, answer.message
    assert f'frames added to {dataset}, which has 1 episodes' in answer.message
    recording.wait_for_status('recorder', Status.IDLE, 'frames added')

    (episode,) = episodes(dataset)
    assert len(episode) >= 12
    assert episode.step_duration == STEP
    assert episode.facts['source'] == 'recorder'
    assert episode.facts['ee_frame'] == 'fr3_hand_tcp'
    # The states are the poses that were measured when the images were taken.
    poses = list(recording.poses)  # more come
    stamps = [conversions.nanoseconds_from_stamp(p.header.stamp) / 1e9 for p in poses]
    places = np.stack([conversions.pose_from_message(p)[0] for p in poses])
    begun = float(episode.facts['start'])
    for frame in (0, len(episode) // 2, len(episode) - 1):
        near = np.abs(np.array(stamps) - (begun + frame * STEP)) < 1.5 * STEP
        distance = np.linalg.norm(places[near] - episode.states[frame, :3], axis=1)
        assert distance.min() < 0.002
    assert np.ptp(episode.states[:, 1]) > 0.04
    assert episode.images.std() > 5.0
    *_, report = inspect(open_source(dataset))
    assert report.findings == []


def test_recordings_are_appended(recording, dataset) -> None:
    counts = [0]
    for times in (1, 2):
        begin(recording)
        stored(recording, 4 * times)
        answer = recording.call(Trigger, 'stop_recording')
        # A busy machine may be late with an image, which cuts a recording in two.
        counts.append(len(open_dataset(dataset).episodes))
        assert f'has {counts[-1]} episodes now' in answer.message
    assert counts[0] < counts[1] < counts[2]


def test_a_long_recording_becomes_several_episodes(graph, dataset, simulator) -> None:
    start(graph, dataset, max_frames=4)
    begin(graph)
    stored(graph, 10)
    graph.call(Trigger, 'stop_recording')
    lengths = [len(episode) for episode in episodes(dataset)]
    assert lengths[:2] == [4, 4]


def test_what_cannot_be_recorded_is_refused_with_a_reason(recording, dataset) -> None:
    answer = recording.call(Trigger, 'stop_recording')
    assert (answer.success, 'nothing is being recorded' in answer.message) == (False, True)
    begin(recording)
    answer = recording.call(Trigger, 'start_recording')
    assert (answer.success, 'under way already' in answer.message) == (False, True)
    stored(recording, 3)
    assert recording.call(Trigger, 'stop_recording').success
    for parameter, value, complaint in (
        ('image_size', 48, 'into another directory'),
        ('min_free_disk', 1e6, 'GB are free'),
        ('output_directory', '', 'Set the parameter output_directory'),
    ):
        recording.recorder.set_parameters([Parameter(parameter, value=value)])
        answer = recording.call(Trigger, 'start_recording')
        assert not answer.success
        assert complaint in answer.message
    assert len(open_dataset(dataset).episodes) == 1


def test_without_a_camera_nothing_begins(graph, dataset) -> None:
    graph.begin(recorder={'output_directory': str(dataset)})
    graph.start(RecorderNode())
    answer = graph.call(Trigger, 'start_recording')
    assert not answer.success
    assert 'the newest image has no stamp' in answer.message
    assert not dataset.exists()


def test_a_disk_that_becomes_full_ends_the_recording_with_the_episode_written(
    recording, dataset, monkeypatch
) -> None:
    recording.recorder.set_parameters([Parameter('min_free_disk', value=0.001)])
    begin(recording)
    stored(recording, 8)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: Usage(free=1000))
    recording.wait_for_status('recorder', Status.IDLE, 'GB are free')
    monkeypatch.undo()
    # On a busy machine images are missed, and the last ones may still wait for a measurement.
    assert sum(map(len, episodes(dataset))) >= 4
    assert not recording.call(Trigger, 'stop_recording').success


def test_bad_messages_are_refused_and_the_recording_goes_on(recording, dataset) -> None:
    begin(recording)
    stored(recording, 2)
    poses = recording.publisher(PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE)
    poses.publish(PoseStamped(header=Header(stamp=recording.now(), frame_id='world')))
    recording.wait_for_status('recorder', Status.EXECUTING, "in frame 'world'")
    stored(recording, 6)
    assert recording.call(Trigger, 'stop_recording').success
    # A busy machine may be late with an image, which cuts the recording in two.
    assert sum(map(len, episodes(dataset))) >= 6


def test_a_node_that_is_interrupted_writes_the_episode(
    graph, simulator, tmp_path, dataset
) -> None:
    graph.begin()
    arguments = graph.ros_arguments(
        tmp_path,
        {
            'recorder': {
                'output_directory': str(dataset),
                'step_duration': STEP,
                'image_size': 32,
                'min_free_disk': 0.0,
            }
        },
    )
    code = 'import sys; from vjepa_ros.recorder_node import main; sys.exit(main())'
    with subprocess.Popen([sys.executable, '-c', code, *arguments]) as process:
        try:
            begin(graph)
            stored(graph, 8)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    # On a busy machine images are missed, and the last ones may still wait for a measurement.
    assert sum(map(len, episodes(dataset))) >= 4


def test_a_bag_of_the_same_topics_becomes_the_same_kind_of_dataset(recording, tmp_path) -> None:
    """Real messages as DDS carries them, written to a bag, read without ROS."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    received = []
    topics = (
        ('image', Image, 'sensor_msgs/msg/Image'),
        ('current_pose', PoseStamped, 'geometry_msgs/msg/PoseStamped'),
        ('/joint_states', JointState, 'sensor_msgs/msg/JointState'),
    )
    for topic, kind, _ in topics:
        recording.observer.create_subscription(
            kind,
            topic,
            lambda raw, topic=topic: received.append((topic, time.time_ns(), raw)),
            qos.IMAGE if kind is Image else qos.ROBOT_STATE,
            raw=True,
        )
    recording.wait_until(
        lambda: [topic for topic, _, _ in list(received)].count('image') > 40, '40 images'
    )
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, name, typestore=store) for topic, _, name in topics
        }
        for topic, when, raw in list(received):
            writer.write(connections[topic], when, bytes(raw))
    read = open_source(tmp_path / 'bag', ReadOptions(step_duration=STEP, image_size=32)).read(0)
    assert sum(len(episode) for episode in read) >= 5
    position, _ = conversions.pose_from_message(recording.poses[-1])
    np.testing.assert_allclose(read[0].states[-1, :3], position, atol=0.002)
    assert read[0].images.std() > 5.0
