# SPDX-License-Identifier: Apache-2.0
"""The package as it is described, declared and installed."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import sysconfig
import tomllib
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sysconfig.get_path('data'))
SITE_PACKAGES = Path(sysconfig.get_path('purelib'))
SHARE = PREFIX / 'share' / 'vjepa_ros'
LIBRARIES = ('vjepa_planner', 'vjepa_ros')
INTERFACES = [ROOT / 'vjepa_msgs', *sorted((ROOT / 'test' / 'interfaces').glob('*_msgs'))]

# Imported where they are installed; the nodes say so where they are not.
OPTIONAL_ROS_PACKAGES = {
    'control_msgs',
    'controller_manager_msgs',
    'franka_msgs',
    'moveit_msgs',
}
ROS_PACKAGE = re.compile(r'rclpy|ament_index_python|launch|launch_ros|\w+_(msgs|srvs|interfaces)')
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'mujoco': 'mujoco-core',
    'onnx_ir': 'onnx-ir',
    'yaml': 'pyyaml',
}

installed = pytest.mark.skipif(
    not (SITE_PACKAGES / 'vjepa_ros').is_dir(), reason='vjepa_ros is not installed: make setup'
)


def sources(*folders: str) -> list[Path]:
    """Return the files of folders of the tree, without what Python and editors leave there."""
    return sorted(
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    )


def package_xml(folder: Path) -> ET.Element:
    """Return the root element of a package.xml."""
    return ET.parse(folder / 'package.xml').getroot()


def pins(name: str) -> dict[str, str]:
    """Return the distributions and versions of a requirements file."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith('#')]
    return dict(map(pin, requirements))


def pin(requirement: str) -> tuple[str, str]:
    """Return name and version of ``name==version``."""
    match = re.fullmatch(r'([A-Za-z0-9._-]+)(?:\[.*\])?==([0-9.]+)', requirement)
    assert match, f'not pinned: {requirement}'
    return canonical(match[1]), match[2]


def library_pins() -> dict[str, str]:
    """Return what vjepa_planner may import, in its various installations."""
    return pins('runtime') | pins('torch') | pins('export') | pins('nvidia')


def canonical(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def declared_arguments() -> dict[str, ast.expr]:
    """Return the arguments of setup() in setup.py."""
    tree = ast.parse((ROOT / 'setup.py').read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = (c for c in calls if isinstance(c.func, ast.Name) and c.func.id == 'setup')
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def imported_packages(library: str) -> set[str]:
    """Return the top-level packages that a library of ours imports from elsewhere."""
    found = set()
    for path in sources(library):
        if path.suffix != '.py':
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition('.')[0])
    return found - set(sys.stdlib_module_names) - set(LIBRARIES)


def executables() -> dict[str, str]:
    """Return the node executables of setup.py and their functions, as setup.py has them."""
    names: dict[str, object] = {}
    wanted = {'PACKAGE', 'NODES', 'EXECUTABLES'}
    for statement in ast.parse((ROOT / 'setup.py').read_text()).body:
        if isinstance(statement, ast.Assign) and wanted & {
            name.id for name in ast.walk(statement.targets[0]) if isinstance(name, ast.Name)
        }:
            exec(compile(ast.Module([statement], []), 'setup.py', 'exec'), names)
    return names['EXECUTABLES']


# -- what is written down ----------------------------------------------------------------------


@pytest.mark.parametrize('folder', INTERFACES, ids=lambda folder: folder.name)
def test_an_interface_package_has_one_name_and_version_for_pip_and_colcon(folder):
    xml = package_xml(folder)
    project = tomllib.loads((folder / 'pyproject.toml').read_text())['project']
    assert xml.findtext('name') == folder.name
    assert project['name'].endswith(folder.name.replace('_', '-'))
    assert project['version'] == xml.findtext('version')
    assert f'project({folder.name})' in (folder / 'CMakeLists.txt').read_text()


@pytest.mark.parametrize('folder', INTERFACES, ids=lambda folder: folder.name)
def test_every_interface_definition_is_built(folder):
    cmake = (folder / 'CMakeLists.txt').read_text()
    listed = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', cmake))
    present = {
        str(path.relative_to(folder))
        for kind in ('msg', 'srv', 'action')
        for path in folder.glob(f'{kind}/*.{kind}')
    }
    assert listed == present


def test_all_packages_share_the_version():
    root, messages = package_xml(ROOT), package_xml(ROOT / 'vjepa_msgs')
    assert root.findtext('version') == messages.findtext('version')


def test_colcon_is_told_about_every_package_but_the_stand_ins():
    yaml = pytest.importorskip('yaml')
    defaults = yaml.safe_load((ROOT / 'colcon_defaults.yaml').read_text())
    for verb, options in defaults.items():
        names = {package_xml(ROOT / path).findtext('name') for path in options['base-paths']}
        assert names == {'vjepa_ros', 'vjepa_msgs'}, verb
    assert (ROOT / 'test' / 'interfaces' / 'COLCON_IGNORE').exists()


@pytest.mark.parametrize(
    'name', ['runtime', 'torch', 'export', 'parity', 'nvidia', 'ros', 'build', 'dev']
)
def test_every_requirement_is_pinned_as_in_the_constraints(name):
    constraints = pins('constraints')
    for distribution, version in pins(name).items():
        assert constraints.get(distribution, version) == version, distribution


def test_an_isolated_build_of_the_interfaces_uses_the_same_versions():
    project = tomllib.loads((ROOT / 'vjepa_msgs' / 'pyproject.toml').read_text())
    required = project['build-system']['requires']
    known = pins('build') | pins('ros') | pins('runtime')
    for requirement in required:
        if '==' in requirement:
            distribution, version = pin(requirement)
            assert known[distribution] == version, distribution
        else:
            assert canonical(requirement) in known


@pytest.mark.parametrize('library', LIBRARIES)
def test_every_python_import_is_declared(library):
    declared = {canonical(name) for name in library_pins()}
    for package in imported_packages(library):
        if not ROS_PACKAGE.fullmatch(package):
            assert canonical(DISTRIBUTIONS.get(package, package)) in declared, package


def test_pip_and_make_know_the_same_distributions():
    arguments = ' '.join(map(ast.unparse, declared_arguments().values()))
    text = arguments + (ROOT / 'setup.py').read_text()
    offered = {canonical(name) for name in re.findall(r"'([A-Za-z][A-Za-z0-9-]+)>=", text)}
    assert offered == set(library_pins())


def test_every_ros_import_is_in_package_xml():
    declared = {element.text for element in package_xml(ROOT).iter('exec_depend')}
    imported = set(filter(ROS_PACKAGE.fullmatch, imported_packages('vjepa_ros')))
    assert imported - OPTIONAL_ROS_PACKAGES <= declared
    assert not set(filter(ROS_PACKAGE.fullmatch, imported_packages('vjepa_planner')))


def test_every_source_file_names_its_licence():
    folders = (*LIBRARIES, 'launch', 'test', 'tools', 'benchmarks', 'examples')
    files = [path for path in sources(*folders) if path.suffix in ('.py', '.sh')]
    assert files
    for path in [*files, Path('setup.py'), Path('Makefile')]:
        head = (ROOT / path).read_text()[:120]
        assert '# SPDX-License-Identifier: Apache-2.0' in head, path


# -- what is installed -------------------------------------------------------------------------


@installed
def test_the_installation_is_that_of_this_tree():
    copies = {path: SITE_PACKAGES / path for path in sources(*LIBRARIES)}
    copies |= {path: SHARE / path for path in sources('launch', 'config', 'gazebo', 'models')}
    for path, copy in copies.items():
        assert copy.is_file(), f'{path} is not installed. Run: make setup'
        same = copy.read_bytes() == (ROOT / path).read_bytes()
        assert same, f'{path} is installed in another version. Run: make setup'


@installed
def test_the_version_is_that_of_package_xml():
    assert importlib.metadata.version('vjepa_ros') == package_xml(ROOT).findtext('version')


@installed
def test_the_ament_index_has_the_packages():
    index = pytest.importorskip('ament_index_python')
    assert Path(index.get_package_share_directory('vjepa_ros')) == SHARE
    assert Path(index.get_package_share_directory('vjepa_msgs')).is_dir()


@installed
def test_ros2_run_and_launch_find_every_executable():
    files = (PREFIX / 'lib' / 'vjepa_ros').iterdir()
    assert {path.name for path in files if os.access(path, os.X_OK)} == set(executables())


@installed
def test_bare_names_of_nodes_stay_out_of_the_search_path():
    scripts = {path.name for path in Path(sysconfig.get_path('scripts')).iterdir()}
    assert 'vjepa' in scripts
    assert not scripts & set(executables())


@pytest.mark.parametrize(('name', 'target'), executables().items())
def test_an_executable_has_its_function(name, target):
    pytest.importorskip('rclpy')
    module, function = target.split(':')
    assert module == ('vjepa_ros.composed' if name == 'composed' else f'vjepa_ros.{name}_node')
    assert callable(getattr(importlib.import_module(module), function))


@installed
def test_the_command_line_needs_no_environment_variables():
    environment = {'PATH': '/usr/bin:/bin'}
    command = [str(Path(sysconfig.get_path('scripts')) / 'vjepa'), '--help']
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert 'demo' in answer.stdout


@installed
def test_a_launcher_uses_the_python_of_its_prefix_wherever_it_is_called_from(tmp_path):
    pytest.importorskip('rclpy')
    launcher = PREFIX / 'lib' / 'vjepa_ros' / 'planner'
    link = tmp_path / 'planner'
    link.symlink_to(launcher)
    command = [str(link), '--ros-args', '-p', 'model:=no-such-model']
    environment = {**os.environ, 'PATH': '/usr/bin:/bin'}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert 'no-such-model' in answer.stdout + answer.stderr
    assert 'Traceback' not in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ('name', 'type_hash'),
    [
        (
            'franka_msgs/action/Grasp',
            '8e8a4bb9d96564ae56fb2d47e932c65656316f5c10365958a26df3517a06bb92',
        ),
        (
            'franka_msgs/action/Homing',
            '2156a4bd902561e59e6081ba94428daf9a453f960596f8b7ca12e8281e0caeeb',
        ),
        (
            'franka_msgs/action/Move',
            'ff1f93537cae0ce92792433e368199606771ad62bb819d78078bfe37144d3ef1',
        ),
        (
            'control_msgs/action/GripperCommand',
            'e17c0e644eccf14bea84a0a93e0977182872c2eb7873ca6694900059b46dbc84',
        ),
    ],
)
def test_the_gripper_actions_have_the_published_type_hashes(name, type_hash):
    index = pytest.importorskip('ament_index_python')
    package, _, rest = name.partition('/')
    try:
        share = Path(index.get_package_share_directory(package))
    except index.PackageNotFoundError:
        pytest.skip(f'{package} is not installed')
    description = json.loads((share / f'{rest}.json').read_text())
    hashes = {entry['type_name']: entry['hash_string'] for entry in description['type_hashes']}
    assert hashes[name] == f'RIHS01_{type_hash}'
