# SPDX-License-Identifier: Apache-2.0
"""The node ``simulator``: the embedded Franka behind the names of the real one.

Below its own name it offers what an evaluation needs and a real robot does not have: to arrange
tasks and to judge them.

Several threads of the executor: the gripper's actions wait for the gripper.
"""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, JointState
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_planner.robots import fr3
from vjepa_planner.simulation import CAMERA_FRAME, FrankaSimulation, SimulationConfig
from vjepa_planner.types import Image
from vjepa_ros import conversions, qos
from vjepa_ros.gripper_server import GripperServer
from vjepa_ros.node import VjepaNode
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.simulated_controllers import make_simulated_controller, SIMULATED_CONTROLLERS
from vjepa_ros.simulation_loop import ArmMeasurement, SimulationLoop
from vjepa_ros.spin import run
from vjepa_ros.task_server import TaskServer

_LOOKS = SimulationConfig()


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    """What the simulator shows, and how fast."""

    seed: int = setting(
        0,
        'Seed of object places, start pose and looks; takes effect at the next reset',
        minimum=0,
        maximum=2**31,
    )
    vary: tuple[str, ...] = setting(
        ('',), 'Looks that depend on the seed: colors, lights, camera', read_only=True
    )
    renderer: str = setting(
        _LOOKS.renderer, 'Camera: ray (no OpenGL needed) or gl', read_only=True
    )
    image_size: int = setting(
        _LOOKS.image_size,
        'Width and height of the images [px]',
        minimum=16,
        maximum=2048,
        read_only=True,
    )
    image_rate: float = setting(5.0, 'Rate of the images [Hz]', minimum=0.1, maximum=60.0)
    real_time_factor: float = setting(
        1.0, 'Simulated seconds per second', minimum=0.01, maximum=100.0
    )
    publish_clock: bool = setting(
        False, 'Publish /clock and stamp with simulated time', read_only=True
    )
    joint_states_topic: str = setting('/joint_states', 'Topic of the joint states', read_only=True)
    gripper_namespace: str = setting(
        'franka_gripper', 'Where the actions of the gripper are', read_only=True
    )
    command_interface: str = setting(
        'pose',
        f'What the arm listens to, as the commander has it: {", ".join(SIMULATED_CONTROLLERS)}',
        read_only=True,
    )


class SimulatorNode(VjepaNode):
    """Publishes what the simulated arm and camera measure, and obeys targets."""

    threads = 4  # callbacks of topics and services, and three gripper actions at once

    def __init__(self) -> None:
        """Build the scene and let it run.

        Raises:
            VjepaPlannerError: A parameter is wrong, or the renderer is not available.
        """
        super().__init__('simulator')
        self._config = ConfigParameters(self, SimulatorConfig(), '', self._configure)
        config: SimulatorConfig = self._config.value
        self._make_publishers(config)
        simulation = FrankaSimulation(
            SimulationConfig(
                image_size=config.image_size,
                renderer=config.renderer,
                vary=frozenset(name for name in config.vary if name),
            )
        )
        simulation.reset(config.seed)
        # Before the loop: its thread publishes at once.
        self._joint_names = list(simulation.joint_names)
        self._camera_matrix = simulation.camera_matrix()
        self._loop = SimulationLoop(
            simulation,
            self._publish_measurement,
            self._publish_image,
            factor=config.real_time_factor,
            image_rate=config.image_rate,
        )
        self._gripper = GripperServer(self, self._loop, config.gripper_namespace)
        self._tasks = TaskServer(self, self._loop)
        self._loop.controller = make_simulated_controller(
            self, self._loop, config.command_interface
        )
        self.create_service(Trigger, 'reset', self._on_reset)
        self.status.update(state=Status.EXECUTING, reason='')

    def close(self) -> None:
        """End the simulation."""
        super().close()
        self._loop.close()

    def _make_publishers(self, config: SimulatorConfig) -> None:
        options: dict[str, Any] = {'qos_overriding_options': qos.OVERRIDABLE}
        self._image_publisher = self.create_publisher(ImageMessage, 'image', qos.CAMERA, **options)
        self._info_publisher = self.create_publisher(
            CameraInfo, 'camera_info', qos.CAMERA, **options
        )
        self._pose_publisher = self.create_publisher(
            PoseStamped, 'current_pose', qos.ROBOT_STATE_SOURCE, **options
        )
        self._joint_publisher = self.create_publisher(
            JointState, config.joint_states_topic, qos.ROBOT_STATE_SOURCE, **options
        )
        self._clock_publisher = (
            self.create_publisher(Clock, '/clock', qos.CLOCK) if (config.publish_clock) else None
        )

    def _configure(self) -> None:
        self._loop.image_rate = self._config.value.image_rate
        self._loop.set_factor(self._config.value.real_time_factor)

    # -- what comes in -------------------------------------------------------------------------

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self._config.value.seed
        self._loop.reset(seed)
        self._tasks.forget()
        response.success = True
        response.message = f'a new episode of seed {seed} has begun.'
        return response

    # -- what goes out, on the thread of the simulation ----------------------------------------

    def _stamp(self, simulated: float, moment: float) -> Time:
        """Return the stamp of a simulated time, or of a moment of steady time [s].

        Where the loop is late, with the time of publication the arm would seem to jump, and an
        image to show it at rest too early.
        """
        if self._clock_publisher is None:
            late = Duration(nanoseconds=max(0, round((time.monotonic() - moment) * 1e9)))
            return (self.get_clock().now() - late).to_msg()
        return conversions.stamp_from_nanoseconds(round(simulated * 1e9))

    def _publish_measurement(self, measurement: ArmMeasurement) -> None:
        stamp = self._stamp(measurement.time, measurement.moment)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp))
        header = Header(stamp=stamp, frame_id=fr3.BASE_FRAME)
        self._pose_publisher.publish(
            conversions.pose_to_message(measurement.position, measurement.quaternion, header)
        )
        self._joint_publisher.publish(
            JointState(
                header=header,
                name=self._joint_names,
                position=measurement.joint_positions.tolist(),
                velocity=measurement.joint_velocities.tolist(),
            )
        )

    def _publish_image(self, image: Image, simulated: float, moment: float) -> None:
        header = Header(stamp=self._stamp(simulated, moment), frame_id=CAMERA_FRAME)
        self._image_publisher.publish(conversions.image_to_message(image, header))
        size = self._config.value.image_size
        self._info_publisher.publish(
            conversions.camera_info_to_message(self._camera_matrix, size, header)
        )


def main() -> int:
    """Run the node as a process."""
    return run(lambda: [SimulatorNode()])
