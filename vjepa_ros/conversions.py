# SPDX-License-Identifier: Apache-2.0
"""Messages to the library's types and back: pure functions, each of which checks what comes in.

Every ``*_from_message`` raises :class:`~vjepa_planner.errors.InvalidInputError` with a sentence
that can be shown to a user; none of them returns something half valid.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from vjepa_msgs.msg import Embedding
from vjepa_msgs.msg import Plan as PlanMessage
from vjepa_planner import geometry, media
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.types import ACTION_DIM, check_image, check_state, FloatArray, Image, Plan
from vjepa_ros.motion import Velocity

Float64Array = npt.NDArray[np.float64]

IMAGE_ENCODINGS = ('rgb8', 'bgr8')
_MAX_IMAGE_FILE = 64_000_000  # [bytes]
_QUATERNION_TOLERANCE = 0.01  # a quaternion this far from length 1 is no rounding error
_NANOSECONDS = 1_000_000_000


def nanoseconds_from_stamp(stamp: Time) -> int:
    """Return a message's stamp in nanoseconds."""
    return int(stamp.sec) * _NANOSECONDS + int(stamp.nanosec)


def stamp_from_nanoseconds(nanoseconds: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    return Time(sec=nanoseconds // _NANOSECONDS, nanosec=nanoseconds % _NANOSECONDS)


def image_from_message(message: ImageMessage | CompressedImage) -> Image:
    """Return an image message as uint8 RGB of shape (height, width, 3).

    Raises:
        InvalidInputError: The encoding is not rgb8 or bgr8, or size, step and data disagree; or
            what is compressed is neither JPEG nor PNG, or damaged.
    """
    if isinstance(message, CompressedImage):
        return check_image(media.decode_image(bytes(message.data)))
    if message.encoding not in IMAGE_ENCODINGS:
        raise InvalidInputError(
            f'image encoding {message.encoding!r} is not supported. Allowed: '
            f'{", ".join(IMAGE_ENCODINGS)}. Convert it in the camera driver or by image_proc.'
        )
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise InvalidInputError(f'image is empty: {width} x {height} pixels.')
    if step < 3 * width or len(message.data) != step * height:
        raise InvalidInputError(
            f'image data do not fit: {width} x {height} pixels of {message.encoding} with step '
            f'{step} need a step of at least {3 * width} and {step * height} bytes, '
            f'got {len(message.data)}.'
        )
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(height, step)
    image = rows[:, : 3 * width].reshape(height, width, 3)
    if message.encoding == 'bgr8':
        image = image[:, :, ::-1]
    return check_image(np.ascontiguousarray(image))


def raw_image(message: ImageMessage | CompressedImage) -> ImageMessage:
    """Return an image message that is not compressed.

    Raises:
        InvalidInputError: What is compressed cannot be read.
    """
    if isinstance(message, CompressedImage):
        return image_to_message(image_from_message(message), message.header)
    return message


def image_to_message(image: Image, header: Header) -> ImageMessage:
    """Return a uint8 RGB image of shape (height, width, 3) as an rgb8 message."""
    height, width = check_image(image).shape[:2]
    message = ImageMessage(
        header=header, height=height, width=width, encoding='rgb8', step=3 * width
    )
    message.data = array('B', image.tobytes())  # a numpy array or a list takes rclpy 100 x longer
    return message


def read_image(path: str) -> Image:
    """Return an image file as uint8 RGB of shape (height, width, 3).

    Raises:
        InvalidInputError: There is no such file, or it is not an image that can be read.
    """
    try:
        file = Path(path).expanduser()
        size = file.stat().st_size if file.is_file() else None
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no such user, NUL inside
        raise InvalidInputError(f'image file {path!r} cannot be opened: {error}.') from error
    if size is None:
        raise InvalidInputError(
            f'there is no image file {path!r}. The path is read on the machine of this node, '
            f'relative ones from {str(Path.cwd())!r}.'
        )
    if size > _MAX_IMAGE_FILE:
        raise InvalidInputError(
            f'image file {path!r} has {size} bytes, at most {_MAX_IMAGE_FILE} are read. '
            'Scale it down.'
        )
    return check_image(media.read_image(file))


def camera_info_to_message(camera_matrix: Float64Array, size: int, header: Header) -> CameraInfo:
    """Return the calibration of a square pinhole camera without distortion.

    Args:
        camera_matrix: Intrinsics, shape (3, 3) [px].
        size: Width and height of its images [px].
        header: Of the image that it belongs to.
    """
    projection = np.hstack([camera_matrix, np.zeros((3, 1))])
    return CameraInfo(
        header=header,
        height=size,
        width=size,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=camera_matrix.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=projection.ravel().tolist(),
    )


def embedding_from_message(message: Embedding) -> FloatArray:
    """Return an embedding of shape (tokens, dim).

    Raises:
        InvalidInputError: Sizes and data disagree, or it contains NaN or infinity.
    """
    shape = (message.tokens, message.dim)
    if not message.data or len(message.data) != message.tokens * message.dim:
        raise InvalidInputError(
            f'embedding of {message.tokens} tokens x {message.dim} needs '
            f'{message.tokens * message.dim} numbers, got {len(message.data)}.'
        )
    embedding = np.frombuffer(message.data, dtype=np.float32).reshape(shape)
    if not np.isfinite(embedding).all():
        raise InvalidInputError('embedding contains NaN or infinity.')
    return embedding


def embedding_to_message(embedding: FloatArray, model: str, header: Header) -> Embedding:
    """Return an embedding of shape (tokens, dim) as a message."""
    tokens, dim = embedding.shape
    message = Embedding(header=header, model=model, tokens=tokens, dim=dim)
    message.data = array('f', np.ascontiguousarray(embedding, dtype=np.float32).tobytes())
    return message


def plan_to_message(plan: Plan, state: Float64Array, header: Header) -> PlanMessage:
    """Return a plan and the state it starts from, shape (7,), as a message.

    Args:
        plan: What was planned.
        state: Measured state that the plan starts from.
        header: Stamp of the image, and the robot's base frame.
    """
    message = PlanMessage(
        header=header,
        goal_id=plan.goal_id,
        horizon=len(plan.actions),
        state=np.asarray(state, dtype=np.float64),
        energy=float(plan.energy),
        current_energy=float(plan.current_energy),
        evaluations=plan.evaluations,
        duration=float(plan.duration),
    )
    message.actions = array('d', np.ascontiguousarray(plan.actions, dtype=np.float64).tobytes())
    return message


def path_to_message(plan: Plan, state: Float64Array, header: Header) -> PoseArray:
    """Return where a plan leads, as poses: that of ``state`` (7,), then one after each action."""
    message = PoseArray(header=header)
    for action in (None, *plan.actions):
        state = state if action is None else geometry.compose_states(state, action)
        quaternion = geometry.euler_to_quaternion_xyzw(state[3:6])
        message.poses.append(pose_to_message(state[:3], quaternion, header).pose)
    return message


def actions_from_message(message: PlanMessage) -> Float64Array:
    """Return the actions of a plan, shape (horizon, 7).

    Raises:
        InvalidInputError: There are none, or not as many as the horizon says, or NaN or infinity.
    """
    if message.horizon == 0 or len(message.actions) != message.horizon * ACTION_DIM:
        raise InvalidInputError(
            f'plan of horizon {message.horizon} needs {message.horizon * ACTION_DIM} numbers '
            f'({ACTION_DIM} for each of at least one action), got {len(message.actions)}.'
        )
    actions = np.array(message.actions, dtype=np.float64).reshape(-1, ACTION_DIM)
    if not np.isfinite(actions).all():
        raise InvalidInputError('plan contains NaN or infinity.')
    return actions


def state_from_message(message: PlanMessage) -> Float64Array:
    """Return the state that a plan starts from, shape (7,).

    Raises:
        InvalidInputError: It contains NaN or infinity.
    """
    return check_state(message.state, 'state of the plan')


def pose_from_message(message: PoseStamped) -> tuple[Float64Array, Float64Array]:
    """Return position (3,) [m] and normalised quaternion xyzw (4,).

    Raises:
        InvalidInputError: NaN or infinity, or a quaternion that is not of length 1.
    """
    point, rotation = message.pose.position, message.pose.orientation
    position = np.array([point.x, point.y, point.z])
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(position).all() and abs(length - 1.0) <= _QUATERNION_TOLERANCE):
        raise InvalidInputError(
            'pose needs finite numbers and a quaternion of length 1, got position '
            f'{position.tolist()} and quaternion xyzw {quaternion.tolist()}.'
        )
    return position, quaternion / length


def pose_to_message(
    position: Float64Array, quaternion_xyzw: Float64Array, header: Header
) -> PoseStamped:
    """Return position (3,) [m] and quaternion xyzw (4,) as a message."""
    message = PoseStamped(header=header)
    point, rotation = message.pose.position, message.pose.orientation
    point.x, point.y, point.z = (float(value) for value in position)
    rotation.x, rotation.y, rotation.z, rotation.w = (float(value) for value in quaternion_xyzw)
    return message


def velocity_from_message(message: TwistStamped) -> Velocity:
    """Return the velocity in a message.

    Raises:
        InvalidInputError: It contains NaN or infinity.
    """
    linear, angular = message.twist.linear, message.twist.angular
    velocity = Velocity(
        np.array([linear.x, linear.y, linear.z]), np.array([angular.x, angular.y, angular.z])
    )
    if not velocity.is_valid():
        raise InvalidInputError(
            f'velocity contains NaN or infinity: {velocity.linear.tolist()} m/s, '
            f'{velocity.angular.tolist()} rad/s.'
        )
    return velocity


def velocity_to_message(velocity: Velocity, header: Header) -> TwistStamped:
    """Return a velocity as a message."""
    message = TwistStamped(header=header)
    linear, angular = message.twist.linear, message.twist.angular
    linear.x, linear.y, linear.z = (float(value) for value in velocity.linear)
    angular.x, angular.y, angular.z = (float(value) for value in velocity.angular)
    return message


def joint_positions_from_message(
    message: JointState, joint_names: Sequence[str]
) -> Float64Array | None:
    """Return the positions of these joints, in this order, shape (len(joint_names),) [rad].

    Args:
        message: Joint states in any order, of more or fewer joints.
        joint_names: Which.

    Returns:
        The positions, or None if this message does not hold all of these joints.

    Raises:
        InvalidInputError: NaN or infinity, or fewer positions than names.
    """
    if not set(joint_names) <= set(message.name):
        return None
    if len(message.position) != len(message.name):
        raise InvalidInputError(
            f'joint state has {len(message.name)} names but {len(message.position)} positions.'
        )
    known = dict(zip(message.name, message.position, strict=True))
    positions = np.array([known[name] for name in joint_names])
    if not np.isfinite(positions).all():
        raise InvalidInputError(f'joint state contains NaN or infinity: {positions.tolist()}.')
    return positions


def closedness_from_message(message: JointState, finger_joints: Sequence[str]) -> float | None:
    """Return the gripper's closedness, 0 open .. 1 closed.

    Args:
        message: Joint states in any order; arm and gripper may come in separate messages.
        finger_joints: Names of the two finger joints.

    Returns:
        The closedness, or None if this message does not hold both fingers.

    Raises:
        InvalidInputError: NaN or infinity, or fewer positions than names.
    """
    positions = joint_positions_from_message(message, finger_joints)
    if positions is None:
        return None
    width = positions.sum()
    return float(np.clip(1.0 - width / fr3.MAX_GRIPPER_WIDTH, 0.0, 1.0))


def state_from_pose(
    position: Float64Array, quaternion_xyzw: Float64Array, closedness: float
) -> Float64Array:
    """Return the model's state, shape (7,), of a pose in the base frame and a closedness."""
    euler = geometry.quaternion_xyzw_to_euler(quaternion_xyzw)
    return np.concatenate([position, euler, [closedness]])
