# SPDX-License-Identifier: Apache-2.0
"""The node ``recorder``: writes what the planner sees into a dataset for training.

Callbacks only choose; images are converted, scaled and written on a worker. The services wait for
it, and with them everything else: what comes meanwhile belongs to no recording. An executor of
several threads would cost more of the interpreter than the recording itself.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
import shutil
from typing import Any, TYPE_CHECKING

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_planner.data.episode import DEFAULT_CAMERA
from vjepa_planner.data.pictures import fit_image
from vjepa_planner.data.recorder import EpisodeRecorder
from vjepa_planner.errors import InvalidInputError, requires_extra, VjepaPlannerError
from vjepa_planner.preprocessing import check_crop
from vjepa_planner.robots import fr3
from vjepa_ros import conversions, qos
from vjepa_ros.ages import check_age
from vjepa_ros.image_input import ImageInputConfig, subscribe_to_images
from vjepa_ros.node import VjepaNode
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.spin import run
from vjepa_ros.worker import BusyError, Worker

if TYPE_CHECKING:
    from vjepa_planner.data.dataset_writer import DatasetWriter

_GIGABYTE = 1_000_000_000
_TIMEOUT = 120.0  # [s] for the longest episode to be written
_INPUT_MAX_AGE = 2.0  # [s] when a recording begins


@dataclass(frozen=True, kw_only=True)
class RecorderConfig(ImageInputConfig):
    """What is recorded, and where to. Changes take effect when the next recording begins."""

    output_directory: str = setting('', 'Directory of the dataset; made if it is not there')
    step_duration: float = setting(
        1.0, 'Time from one frame to the next [s]', minimum=0.02, maximum=60.0
    )
    image_size: int = setting(
        256, 'Width and height of the stored images [px]', minimum=16, maximum=2048
    )
    crop: str = setting('squash', 'What is kept of wide images: squash or square')
    task: str = setting('', 'What the arm does, in words')
    max_frames: int = setting(
        600, 'Longer recordings become several episodes', minimum=2, maximum=100_000
    )
    min_free_disk: float = setting(
        1.0, 'Recording ends when less than this is free [GB]', minimum=0.0, maximum=1e6
    )
    base_frame: str = setting(fr3.BASE_FRAME, 'Frame that poses are expressed in', read_only=True)
    ee_frame: str = setting(
        fr3.TCP_FRAME, 'Frame whose pose current_pose measures', read_only=True
    )
    joint_states_topic: str = setting(
        '/joint_states', 'Topic that has the finger joints', read_only=True
    )
    finger_joints: tuple[str, ...] = setting(
        fr3.FINGER_JOINT_NAMES, 'Names of the two finger joints', read_only=True
    )

    def __post_init__(self) -> None:
        """Check what ranges cannot."""
        super().__post_init__()
        check_crop(self.crop)


@dataclass(frozen=True)
class _Recording:
    """A recording under way, with the settings that it began with."""

    config: RecorderConfig
    writer: DatasetWriter
    recorder: EpisodeRecorder


class RecorderNode(VjepaNode):
    """Records episodes between ``start_recording`` and ``stop_recording``."""

    def __init__(self) -> None:
        """Begin to listen; nothing is recorded yet.

        Raises:
            MissingDependencyError: What writes datasets is not installed.
        """
        super().__init__('recorder')
        with requires_extra('the recorder', 'data'):
            from vjepa_planner.data.dataset_writer import DatasetWriter
        self._open_writer = DatasetWriter
        self._config = ConfigParameters(self, RecorderConfig())
        self._worker = Worker()
        self._recording: _Recording | None = None  # replaced on the worker, read everywhere
        self._newest = {'image': 0, 'measured pose': 0, 'finger position': 0}  # stamps [ns]
        options: dict[str, Any] = {'qos_overriding_options': qos.OVERRIDABLE}
        joints = self._config.value.joint_states_topic
        for message, topic, take, profile in (
            (PoseStamped, 'current_pose', self._take_pose, qos.ROBOT_STATE),
            (JointState, joints, self._take_joints, qos.ROBOT_STATE),
        ):
            self.create_subscription(message, topic, self._taking(take), profile, **options)
        subscribe_to_images(self, self._config.value, self._taking(self._take_image))
        for name, function in (
            ('start_recording', self._start),
            ('stop_recording', self._stop),
        ):
            self.create_service(Trigger, name, self._answering(function))
        self.status.update(state=Status.IDLE, reason='call start_recording')

    def close(self) -> None:
        """Write the episode under way."""
        super().close()
        self._worker.close()
        if self._recording is not None:
            self.get_logger().info(self._end_early())

    # -- callbacks -----------------------------------------------------------------------------

    def _taking(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that takes a message, or says what is wrong with it, and goes on."""

        def callback(message: object) -> None:
            try:
                take(message)
            except VjepaPlannerError as error:
                self.status.reject(str(error))

        return callback

    def _take_image(self, message: Image | CompressedImage) -> None:
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self._newest['image'] = stamp
        recording = self._recording
        if recording is None or not recording.recorder.wants_image(stamp):
            return
        try:
            self._worker.request(lambda: self._store(recording, stamp, message))
        except BusyError:
            self.status.reject('an image is lost: the disk or the processor is too slow.')

    def _take_pose(self, message: PoseStamped) -> None:
        base_frame = self._config.value.base_frame
        if message.header.frame_id != base_frame:
            raise InvalidInputError(
                f'current_pose is in frame {message.header.frame_id!r}, needed is '
                f'{base_frame!r} (parameter base_frame).'
            )
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        position, quaternion = conversions.pose_from_message(message)
        self._newest['measured pose'] = stamp
        if (recording := self._recording) is not None:
            recording.recorder.add_pose(stamp, position, quaternion)

    def _take_joints(self, message: JointState) -> None:
        names = self._config.value.finger_joints
        closedness = conversions.closedness_from_message(message, names)
        if closedness is None:
            return
        stamp = conversions.nanoseconds_from_stamp(message.header.stamp)
        self._newest['finger position'] = stamp
        if (recording := self._recording) is not None:
            recording.recorder.add_closedness(stamp, closedness)

    def _answering(
        self, function: Callable[[], str]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        """Return a service that answers with what a function on the worker returns or raises."""

        def callback(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = self._worker.request(function).result(_TIMEOUT)
                response.success = True
            except FutureTimeoutError:
                response.message = f'the recorder did not answer within {_TIMEOUT:g} s.'
            except CancelledError:
                response.message = 'the recorder ends.'
            except BusyError:
                response.message = 'the recorder is busy writing. Try again later.'
            except (VjepaPlannerError, OSError) as error:
                response.message = str(error)
            if not response.success:
                self.status.reject(response.message)
            return response

        return callback

    # -- on the worker -------------------------------------------------------------------------

    def _start(self) -> str:
        """Begin a recording, or raise."""
        if self._recording is not None:
            raise InvalidInputError('a recording is under way already: call stop_recording first.')
        config: RecorderConfig = self._config.value
        if not config.output_directory:
            raise InvalidInputError('where to? Set the parameter output_directory first.')
        now = self.get_clock().now().nanoseconds
        for name, stamp in self._newest.items():
            check_age(f'the newest {name}', stamp, now, _INPUT_MAX_AGE)
        root = Path(config.output_directory).expanduser()
        self._check_disk(root, config)
        writer = self._open_writer(root)
        size = config.image_size
        writer.check_layout(DEFAULT_CAMERA, size, size, config.step_duration)
        self._recording = _Recording(config, writer, EpisodeRecorder(config.step_duration))
        self.status.update(state=Status.EXECUTING, reason=f'recording into {root}')
        return f'recording into {root}, which has {len(writer)} episodes.'

    def _stop(self) -> str:
        """End the recording, or raise."""
        if self._recording is None:
            raise InvalidInputError('nothing is being recorded: call start_recording first.')
        return self._finish()

    def _store(self, recording: _Recording, stamp: int, message: Image | CompressedImage) -> None:
        if recording is not self._recording:
            return  # it ended while the image waited
        try:
            config = recording.config
            image = conversions.image_from_message(message)
            recording.recorder.add_image(stamp, fit_image(image, config.image_size, config.crop))
            self.status.accept()
            self._check_disk(Path(config.output_directory).expanduser(), config)
            if len(recording.recorder) >= config.max_frames:
                self._finish()
                self._start()
        except DiskFullError as error:
            self.status.reject(f'{error} {self._end_early()}')
        except VjepaPlannerError as error:
            self.status.reject(str(error))

    def _end_early(self) -> str:
        """End the recording without anybody's asking; return what has become of it."""
        try:
            return self._finish()
        except VjepaPlannerError as error:
            return str(error)

    def _finish(self) -> str:
        """Write the recording under way and return what has become of it."""
        recording, self._recording = self._recording, None
        assert recording is not None
        facts = {'source': 'recorder', 'ee_frame': recording.config.ee_frame}
        try:
            episodes = recording.recorder.episodes(recording.config.task, facts)
            with recording.writer as writer:
                writer.add(*episodes)
        except (VjepaPlannerError, OSError) as error:
            self.status.update(state=Status.IDLE, reason=f'nothing was written: {error}')
            raise InvalidInputError(f'nothing was written: {error}') from error
        frames = sum(len(episode) for episode in episodes)
        parts = '' if len(episodes) == 1 else f' in {len(episodes)} episodes, cut at gaps'
        text = (
            f'{frames} frames{parts} added to {recording.config.output_directory}, which has '
            f'{len(recording.writer)} episodes now.'
        )
        self.status.update(state=Status.IDLE, reason=text)
        return text

    def _check_disk(self, root: Path, config: RecorderConfig) -> None:
        place = next(path for path in (root, *root.absolute().parents) if path.exists())
        free = shutil.disk_usage(place).free / _GIGABYTE
        if free < config.min_free_disk:
            raise DiskFullError(
                f'only {free:.1f} GB are free at {place}, recording needs '
                f'{config.min_free_disk:g} GB (parameter min_free_disk). Free some, or record '
                'elsewhere.'
            )


class DiskFullError(VjepaPlannerError):
    """The disk is nearly full."""


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [RecorderNode()])
