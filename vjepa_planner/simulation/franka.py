# SPDX-License-Identifier: Apache-2.0
"""A Franka on a table in MuJoCo, with one fixed RGB camera.

The simulation is commanded like the real arm: a target pose of the tool centre point, and a width
of the gripper. ``apply`` and ``observe`` speak the model's language instead: one action is one
blocking displacement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np
import numpy.typing as npt

from vjepa_planner import geometry
from vjepa_planner.errors import InvalidInputError
from vjepa_planner.robots import fr3
from vjepa_planner.simulation.camera import CameraPose, make_camera
from vjepa_planner.simulation.objects import TableObjects
from vjepa_planner.simulation.scene import ARM_CONTYPE, build_mjcf
from vjepa_planner.simulation.servos import CONTROL_PERIOD, GRIPPER_SPEED, Servos
from vjepa_planner.simulation.variation import parse_variations, place_objects, vary_looks
from vjepa_planner.types import ACTION_DIM, Image, Observation

WORKSPACE_MIN = np.array([0.34, -0.26, 0.04])
WORKSPACE_MAX = np.array([0.66, 0.26, 0.36])
"""Box of tool-centre-point positions in view of the camera, in the base frame [m]."""

_DOWN = np.array([np.pi, 0.0, 0.0])  # gripper points at the table, fingers open along y
_ARRIVAL = 0.01  # [m] from the end of an action; the gripper_tolerance of the commander
_SETTLE_TIME = 0.16  # [s] after the last set-point of an action
_START_TILT = 0.05  # [rad] standard deviation of the gripper's start orientation


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """How the simulation looks and how long an action takes.

    Attributes:
        image_size: Width and height of the camera images [px].
        renderer: ``'ray'`` (no OpenGL needed) or ``'gl'``.
        vary: Looks that differ from seed to seed: any of ``'colors'``, ``'lights'``, ``'camera'``.
        action_duration: Time over which ``apply`` spreads one action [s].
    """

    image_size: int = 256
    renderer: str = 'ray'
    vary: frozenset[str] = field(default_factory=frozenset)
    action_duration: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        parse_variations(self.vary)
        if self.image_size < 16:
            raise InvalidInputError(f'image_size must be at least 16 px, got {self.image_size}.')
        if not 0 < self.action_duration < np.inf:
            raise InvalidInputError(
                f'action_duration must be positive and finite, got {self.action_duration}.'
            )


class FrankaSimulation:
    """The simulated arm, table and camera.

    Attributes:
        config: How it looks and how long an action takes.
        objects: Cup, box and plate.
    """

    def __init__(self, config: SimulationConfig | None = None) -> None:
        """Compile the scene and reset it with seed 0."""
        self.config = config or SimulationConfig()
        self.model = mujoco.MjModel.from_xml_string(build_mjcf())
        self.data = mujoco.MjData(self.model)
        self._default_model = mujoco.MjModel.from_xml_string(build_mjcf())
        self.objects = TableObjects(self.model, self.data)
        self._servos = Servos(self.model, self.data)
        self._camera = make_camera(self.config.renderer, self.model, self.config.image_size)
        self._site = self.model.site('tcp').id
        self._substeps = round(CONTROL_PERIOD / self.model.opt.timestep)
        self.joint_names = fr3.ARM_JOINT_NAMES + fr3.FINGER_JOINT_NAMES
        self.reset(0)

    def reset(self, seed: int, vary: frozenset[str] | None = None) -> None:
        """Start a new episode: the seed decides object places, start pose and looks.

        Args:
            seed: Non-negative integer.
            vary: Looks that depend on the seed; the configuration's if left out.

        Raises:
            InvalidInputError: The seed is negative.
            UnknownNameError: There is no such variation.
        """
        if seed < 0:
            raise InvalidInputError(f'the seed must not be negative, got {seed}.')
        vary = self.config.vary if vary is None else parse_variations(vary)
        looks, objects, start = np.random.default_rng(seed).spawn(3)
        mujoco.mj_resetData(self.model, self.data)
        vary_looks(self.model, self._default_model, vary, looks)
        place_objects(self.objects, objects)
        self.place_end_effector_randomly(start, fr3.MAX_GRIPPER_WIDTH)

    def place_end_effector_randomly(
        self,
        rng: np.random.Generator,
        gripper_width: float | None = None,
        euler: npt.ArrayLike | None = None,
    ) -> None:
        """Put the arm, gripper down, at a random place of the workspace where it touches nothing.

        Args:
            rng: Source of the randomness.
            gripper_width: Opening of the gripper [m]; as it is if left out.
            euler: Extrinsic-xyz Euler angles, shape (3,) [rad]; nearly straight down, at random,
                if left out.
        """
        while True:
            position = rng.uniform(WORKSPACE_MIN, WORKSPACE_MAX)
            tilted = _DOWN + rng.normal(0.0, _START_TILT, 3)
            self.place_end_effector(position, tilted if euler is None else euler, gripper_width)
            if not self._arm_touches():
                return

    def place_end_effector(
        self,
        position: npt.ArrayLike,
        euler: npt.ArrayLike = _DOWN,
        gripper_width: float | None = None,
    ) -> None:
        """Put the arm at a pose at once, at rest, without moving there; objects stay.

        Args:
            position: Tool centre point in the base frame, shape (3,) [m].
            euler: Extrinsic-xyz Euler angles, shape (3,) [rad].
            gripper_width: Opening of the gripper [m]; if left out, the gripper goes on with what
                it does: a grasp keeps its force.

        Raises:
            InvalidInputError: The pose is not finite.
        """
        quaternion = geometry.euler_to_quaternion_xyzw(np.asarray(euler, np.float64))
        self._servos.place(position, quaternion)
        if gripper_width is not None:
            self.data.qpos[7:9] = gripper_width / 2
            self._servos.hold_gripper()
        self.data.qvel[:9] = 0.0
        mujoco.mj_forward(self.model, self.data)

    # -- commands, as the real arm takes them --------------------------------------------------

    def set_target_pose(self, position: npt.ArrayLike, quaternion_xyzw: npt.ArrayLike) -> None:
        """Set where the tool centre point shall go; it is approached at the joints' speed limit.

        Args:
            position: In the base frame, shape (3,) [m].
            quaternion_xyzw: Orientation, shape (4,); normalised here.

        Raises:
            InvalidInputError: Wrong shape, NaN, infinity, or a quaternion of zero length. The
                target before stays.
        """
        self._servos.set_target_pose(position, quaternion_xyzw)

    def set_target_joints(self, joints: npt.ArrayLike) -> None:
        """Set where the seven joints shall go, shape (7,) [rad], instead of the tool's pose.

        They are kept in their ranges, and go there at their speed limits.

        Raises:
            InvalidInputError: Wrong shape, NaN or infinity. The target before stays.
        """
        self._servos.set_target_joints(joints)

    def set_gripper_target(self, width: float, speed: float = 0.1, force: float = 40.0) -> None:
        """Open or close the gripper to ``width`` [m] at ``speed`` [m/s] with up to ``force`` [N].

        Raises:
            InvalidInputError: A number is not finite, or speed or force is not positive.
        """
        self._servos.set_gripper_target(width, speed, force)

    def advance(self, duration: float) -> None:
        """Let time pass: ``duration`` [s], rounded to whole control periods.

        Raises:
            InvalidInputError: The duration is negative or not finite.
        """
        if not 0 <= duration < np.inf:
            raise InvalidInputError(f'duration must be finite and not negative, got {duration}.')
        ticks = round(duration / CONTROL_PERIOD)
        for _ in range(ticks):
            self._control_tick()
        if ticks:
            # A step leaves the poses from before it; measurements and images are of now.
            mujoco.mj_forward(self.model, self.data)

    # -- measurements --------------------------------------------------------------------------

    @property
    def time(self) -> float:
        """Time since the reset [s]."""
        return float(self.data.time)

    def joint_positions(self) -> npt.NDArray[np.float64]:
        """Return seven joint angles [rad] and two finger positions [m], shape (9,)."""
        positions: npt.NDArray[np.float64] = self.data.qpos[:9].copy()
        return positions

    def joint_velocities(self) -> npt.NDArray[np.float64]:
        """Return the velocities of ``joint_positions``, shape (9,) [rad/s, m/s]."""
        velocities: npt.NDArray[np.float64] = self.data.qvel[:9].copy()
        return velocities

    def ee_pose(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return measured position (3,) [m] and quaternion xyzw (4,) of the tool centre point."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._site])
        return self.data.site_xpos[self._site].copy(), quaternion[[1, 2, 3, 0]]

    def gripper_width(self) -> float:
        """Return the opening of the gripper [m]."""
        return float(self.data.qpos[7] + self.data.qpos[8])

    def state(self) -> npt.NDArray[np.float64]:
        """Return the model's state vector, shape (7,); see ``vjepa_planner.types``."""
        position, quaternion = self.ee_pose()
        euler = geometry.quaternion_xyzw_to_euler(quaternion)
        closedness = np.clip(1.0 - self.gripper_width() / fr3.MAX_GRIPPER_WIDTH, 0.0, 1.0)
        return np.concatenate([position, euler, [closedness]])

    def object_position(self, name: str) -> npt.NDArray[np.float64]:
        """Return where ``'cup'``, ``'box'`` or ``'plate'`` is in the base frame, (3,) [m]."""
        return self.objects.position(name)

    def render(self) -> Image:
        """Return the camera's image, uint8 RGB of shape (image_size, image_size, 3)."""
        return self._camera.render(self.data)

    def camera_matrix(self) -> npt.NDArray[np.float64]:
        """Return the pinhole intrinsics of ``render``, shape (3, 3) [px]."""
        return CameraPose().intrinsics(self.config.image_size)

    def close(self) -> None:
        """Free the renderer."""
        self._camera.close()

    # -- the model's language ------------------------------------------------------------------

    def observe(self) -> Observation:
        """Return image, measured state and time."""
        return Observation(image=self.render(), state=self.state(), stamp=self.time)

    def apply(self, action: npt.ArrayLike) -> None:
        """Execute one action to completion: move from the measured pose, settle, then the gripper.

        The gripper comes last, so that one action can end around an object and close, or stand
        an object down and let go. It stays as it is if something stopped the arm on its way.

        Args:
            action: Shape (7,); see ``vjepa_planner.types``. The target stays in the workspace.

        Raises:
            InvalidInputError: Wrong shape, NaN or infinity.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (ACTION_DIM,) or not np.isfinite(action).all():
            raise InvalidInputError(
                f'action must be {ACTION_DIM} finite numbers, got {action.tolist()}.'
            )
        start = self.state()
        goal = geometry.compose_states(start, action)
        goal[:3] = np.clip(goal[:3], WORKSPACE_MIN, WORKSPACE_MAX)
        displacement = geometry.state_difference(start, goal)
        ticks = max(1, round(self.config.action_duration / CONTROL_PERIOD))
        for tick in range(1, ticks + 1):
            waypoint = geometry.compose_states(start, displacement * tick / ticks)
            self.set_target_pose(waypoint[:3], geometry.euler_to_quaternion_xyzw(waypoint[3:6]))
            self._control_tick()
        self.advance(_SETTLE_TIME)
        # Fingers that came down on something stay as they are.
        has_arrived = np.linalg.norm(self.state()[:3] - goal[:3]) <= _ARRIVAL
        # Without a change a grasp goes on: its target is not the measured width.
        if action[6] != 0.0 and has_arrived:
            width = (1.0 - goal[6]) * fr3.MAX_GRIPPER_WIDTH
            self.set_gripper_target(width)
            self.advance(abs(width - self.gripper_width()) / GRIPPER_SPEED + _SETTLE_TIME)

    def _arm_touches(self) -> bool:
        """Return whether the arm or the gripper is in contact with anything."""
        pairs = self.data.contact.geom[: self.data.ncon]
        return bool((self.model.geom_contype[pairs] == ARM_CONTYPE).any())

    def _control_tick(self) -> None:
        """Step physics by one control period towards the present targets."""
        self._servos.tick()
        mujoco.mj_step(self.model, self.data, self._substeps)
