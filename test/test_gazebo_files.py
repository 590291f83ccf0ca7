# SPDX-License-Identifier: Apache-2.0
"""World, robot, controllers and bridge for Gazebo, as far as they can be looked at without it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml

from vjepa_planner.robots import fr3
from vjepa_planner.robots.kinematics import ArmKinematics

ROOT = Path(__file__).resolve().parent.parent
WORLD = ET.parse(ROOT / 'gazebo' / 'worlds' / 'table.sdf').getroot().find('world')
XACRO = '{http://www.ros.org/wiki/xacro}'
ROBOT = ET.parse(ROOT / 'gazebo' / 'urdf' / 'fr3.gazebo.urdf.xacro').getroot()
CONTROLLERS = yaml.safe_load((ROOT / 'config' / 'gazebo' / 'controllers.yaml').read_text())
BRIDGE = yaml.safe_load((ROOT / 'config' / 'gazebo' / 'bridge.yaml').read_text())
INTERFACE = yaml.safe_load((ROOT / 'config' / 'interfaces' / 'joint_trajectory.yaml').read_text())
LAUNCH = (ROOT / 'launch' / 'gazebo.launch.py').read_text()

# Of the MuJoCo bodies and geoms with the same picture; MuJoCo counts half sizes.
PLACES = {'plate': 'plate', 'cup': 'cup', 'box': 'box', 'table': 'world', 'room': 'world'}


def numbers(element: ET.Element | None, size: int) -> np.ndarray:
    """Return the numbers in an element; zeros if there is none."""
    return np.array(element.text.split(), float) if element is not None else np.zeros(size)


def model(name: str) -> ET.Element:
    """Return a model of the world."""
    return WORLD.find(f'model[@name="{name}"]')


def place(name: str) -> np.ndarray:
    """Return where a model or its link is, x y z roll pitch yaw."""
    return numbers(model(name).find('pose'), 6) + numbers(model(name).find('link/pose'), 6)


def shape(element: ET.Element) -> tuple[str, list[float]]:
    """Return kind and size of a geometry as MuJoCo has them."""
    (geometry,) = element.find('geometry')
    if geometry.tag == 'cylinder':
        radius, length = (float(geometry.find(name).text) for name in ('radius', 'length'))
        return 'cylinder', [radius, length / 2]
    return geometry.tag, (numbers(geometry.find('size'), 3) / 2).tolist()


@pytest.fixture(scope='module')
def simulated():
    """Return the compiled scene of the simulator, and mujoco."""
    mujoco = pytest.importorskip('mujoco')
    from vjepa_planner.simulation.scene import build_mjcf

    return mujoco.MjModel.from_xml_string(build_mjcf())


def looks(simulated, body: str) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Return kind, size, place in the body and colour of what is seen of a body in MuJoCo."""
    result = []
    for index in range(simulated.ngeom):
        geom = simulated.geom(index)
        if simulated.body(geom.bodyid[0]).name != body or geom.group[0] == 3:
            continue
        kind = {0: 'plane', 5: 'cylinder', 6: 'box'}[int(geom.type[0])]
        material = int(geom.matid[0])
        rgba = simulated.mat_rgba[material] if material >= 0 else geom.rgba
        result.append((kind, geom.size, geom.pos, rgba))
    return result


@pytest.mark.parametrize('name', PLACES)
def test_everything_looks_as_in_the_simulator(simulated, name):
    known = looks(simulated, PLACES[name])
    body = simulated.body(PLACES[name])
    offset = place(name)[:3] - body.pos
    visuals = model(name).findall('link/visual')
    assert visuals
    for visual in visuals:
        kind, size = shape(visual)
        position = numbers(visual.find('pose'), 6)[:3] + offset
        colour = numbers(visual.find('material/diffuse'), 4)
        assert any(
            kind == other
            and np.allclose(size, extent[: len(size)], atol=1e-4)
            and np.allclose(position, where, atol=1e-4)
            and np.allclose(colour, rgba, atol=1e-3)
            for other, extent, where, rgba in known
        ), f'{name}/{visual.get("name")}: {kind} {size} at {position} of {colour}'


def test_nothing_that_the_simulator_shows_is_missing(simulated):
    visuals = {name: len(model(name).findall('link/visual')) for name in PLACES}
    for name in ('plate', 'cup', 'box'):
        assert visuals[name] == len(looks(simulated, name)), name
    assert visuals['table'] + visuals['room'] == len(looks(simulated, 'world'))


@pytest.mark.parametrize('name', ['cup', 'box'])
def test_objects_are_as_heavy_and_as_big_as_in_the_simulator(simulated, name):
    body = simulated.body(name)
    inertial = model(name).find('link/inertial')
    assert float(inertial.find('mass').text) == pytest.approx(body.mass[0])
    inertia = [float(inertial.find(f'inertia/{axis}').text) for axis in ('ixx', 'iyy', 'izz')]
    assert min(inertia) > 0.0
    assert sorted(inertia) == pytest.approx(sorted(body.inertia), rel=1e-3)
    np.testing.assert_allclose(numbers(inertial.find('pose'), 6)[:3], body.ipos, atol=1e-6)
    (solid,) = [
        geom
        for geom in map(simulated.geom, range(simulated.ngeom))
        if geom.bodyid[0] == body.id and geom.contype[0]
    ]
    (collision,) = model(name).findall('link/collision')
    kind, size = shape(collision)
    assert kind == {5: 'cylinder', 6: 'box'}[int(solid.type[0])]
    np.testing.assert_allclose(size, solid.size[: len(size)], atol=1e-6)
    np.testing.assert_allclose(numbers(collision.find('pose'), 6)[:3], solid.pos, atol=1e-6)


def test_the_camera_stands_where_the_simulators_does_and_sees_as_much():
    pytest.importorskip('mujoco')
    from vjepa_planner import geometry
    from vjepa_planner.simulation import CAMERA_FRAME, SimulationConfig
    from vjepa_planner.simulation.camera import CameraPose

    expected = CameraPose()
    pose = place('camera')
    np.testing.assert_allclose(pose[:3], expected.position)
    # Gazebo's camera looks along x with z up, MuJoCo's along -z with y up.
    forward, _, up = geometry.euler_to_matrix(pose[3:]).T
    rotation = expected.rotation_camera_to_base()
    np.testing.assert_allclose(forward, -rotation[:, 2], atol=1e-5)
    np.testing.assert_allclose(up, rotation[:, 1], atol=1e-5)
    camera = model('camera').find('link/sensor/camera')
    width, height = (int(camera.find(f'image/{side}').text) for side in ('width', 'height'))
    assert width == height == SimulationConfig().image_size
    fov = float(camera.find('horizontal_fov').text)
    assert np.degrees(fov) == pytest.approx(expected.field_of_view, abs=1e-3)
    assert camera.find('optical_frame_id').text == CAMERA_FRAME


def test_time_goes_in_the_steps_of_the_simulator_and_controllers_keep_to_them(simulated):
    step = float(WORLD.findtext('physics/max_step_size'))
    assert step == simulated.opt.timestep
    manager = CONTROLLERS['controller_manager']['ros__parameters']
    broadcaster = CONTROLLERS['joint_state_broadcaster']['ros__parameters']
    assert (1.0 / manager['update_rate'] / step).is_integer()
    assert manager['update_rate'] % broadcaster['update_rate'] == 0


def test_the_world_has_what_physics_cameras_and_spawning_need():
    systems = {plugin.get('name').rpartition('::')[2] for plugin in WORLD.findall('plugin')}
    assert systems >= {'Physics', 'SceneBroadcaster', 'Sensors', 'UserCommands'}
    names = [item.get('name') for item in WORLD.findall('model')]
    assert len(names) == len(set(names))
    static = {name for name in names if model(name).findtext('static') == 'true'}
    assert set(names) - static == {'cup', 'box'}


def test_the_bridge_carries_what_the_world_measures_to_where_our_nodes_listen():
    topics = {entry['gz_topic_name']: entry for entry in BRIDGE}
    sensor = model('camera').find('link/sensor')
    image = topics[sensor.findtext('topic')]
    info = topics[sensor.findtext('camera/camera_info_topic')]
    assert (image['ros_topic_name'], image['ros_type_name']) == ('image', 'sensor_msgs/msg/Image')
    assert info['ros_topic_name'] == 'camera_info'
    assert topics['/clock']['ros_topic_name'] == '/clock'
    assert {entry['direction'] for entry in BRIDGE} == {'GZ_TO_ROS'}


def test_the_controllers_have_the_joints_of_the_arm_and_the_topics_of_the_command_interface():
    manager = CONTROLLERS['controller_manager']['ros__parameters']
    for name in ('joint_state_broadcaster', 'fr3_arm_controller', 'fr3_gripper_controller'):
        assert 'type' in manager[name]
        assert f"'{name}'" in LAUNCH, 'the spawner starts it'
    arm = CONTROLLERS['fr3_arm_controller']['ros__parameters']
    commander = INTERFACE['/**/commander']['ros__parameters']
    assert tuple(arm['joints']) == fr3.ARM_JOINT_NAMES
    assert arm['joints'] == commander['joint_trajectory.joint_names']
    assert commander['joint_trajectory.topic'] == '/fr3_arm_controller/joint_trajectory'


def test_the_gripper_node_commands_the_gripper_controller():
    pytest.importorskip('rclpy')
    from vjepa_ros.finger_controller import FingerControllerConfig

    config = FingerControllerConfig()
    gripper = CONTROLLERS['fr3_gripper_controller']['ros__parameters']
    assert config.command_topic == '/fr3_gripper_controller/commands'
    assert gripper == {'joints': [config.finger_joints[0]], 'interface_name': 'position'}


def test_the_robot_has_an_interface_for_every_joint_that_a_controller_uses():
    joints = {
        joint.get('name'): joint for joint in ROBOT.findall(f'ros2_control/{XACRO}vjepa_joint')
    }
    assert tuple(joints) == fr3.ARM_JOINT_NAMES + fr3.FINGER_JOINT_NAMES
    commanded = {name for name, joint in joints.items() if joint.get('commanded') != 'false'}
    used = [
        joint
        for name in ('fr3_arm_controller', 'fr3_gripper_controller')
        for joint in CONTROLLERS[name]['ros__parameters']['joints']
    ]
    assert commanded == set(used)


def test_the_arm_starts_where_the_commander_lets_it_go_and_points_down():
    start = {
        joint.get('name'): float(joint.get('initial'))
        for joint in ROBOT.findall(f'ros2_control/{XACRO}vjepa_joint')
    }
    posture = ArmKinematics().posture(np.array([start[name] for name in fr3.ARM_JOINT_NAMES]))
    file = ROOT / 'config' / 'simulation.yaml'
    commander = yaml.safe_load(file.read_text())['/**/commander']['ros__parameters']
    assert (posture.position > commander['workspace_min']).all()
    assert (posture.position < commander['workspace_max']).all()
    assert posture.rotation[2, 2] == pytest.approx(-1.0, abs=1e-4)
    assert [start[name] for name in fr3.FINGER_JOINT_NAMES] == [fr3.MAX_GRIPPER_WIDTH / 2] * 2


def test_arguments_of_franka_description_are_set_before_it_would_set_its_defaults():
    tags = [child.tag for child in ROBOT]
    include = tags.index(f'{XACRO}include')
    assert {ROBOT[index].get('name') for index in range(include)} >= {'gazebo', 'ros2_control'}
    plugin = ROBOT.find('gazebo/plugin')
    assert plugin.get('name') == 'gz_ros2_control::GazeboSimROS2ControlPlugin'
    assert plugin.findtext('parameters') == '$(arg controllers)'
