# SPDX-License-Identifier: Apache-2.0
"""The container files name what is there. No image is built here: that needs a Docker engine."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = sorted((ROOT / 'docker').glob('*.Dockerfile'))
COMPOSE_FILES = sorted((ROOT / 'docker').glob('compose.*.yaml'))
# Of the Compose specification, as far as they are used here.
SERVICE_KEYS = {
    'build', 'cap_add', 'command', 'deploy', 'environment', 'image', 'init', 'ipc',
    'network_mode', 'shm_size', 'stdin_open', 'tty', 'ulimits', 'volumes',
}  # fmt: skip

each_dockerfile = pytest.mark.parametrize('path', DOCKERFILES, ids=lambda path: path.name)
each_compose_file = pytest.mark.parametrize('path', COMPOSE_FILES, ids=lambda path: path.name)


def test_there_are_container_files() -> None:
    assert len(DOCKERFILES) == len(COMPOSE_FILES) == 4


@each_dockerfile
def test_what_an_image_copies_is_in_the_tree_and_in_the_context(path: Path) -> None:
    ignored = (ROOT / '.dockerignore').read_text().splitlines()
    assert '.git' in ignored
    for source in re.findall(r'^COPY (?:--\S+ )*(\S+) \S+$', path.read_text(), re.MULTILINE):
        assert (ROOT / source).exists(), source
        assert source not in ignored


@each_dockerfile
def test_requirements_and_launch_files_that_an_image_names_exist(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'requirements/(\w+\.txt)', text):
        assert name == 'rest.txt' or (ROOT / 'requirements' / name).is_file(), name
    for name in re.findall(r'\w+\.launch\.py', text):
        assert (ROOT / 'launch' / name).is_file(), name


@each_compose_file
def test_a_compose_file_builds_an_image_of_ours_with_keys_that_compose_has(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content.keys() <= {'services', 'volumes'}
    for service in content['services'].values():
        assert service.keys() <= SERVICE_KEYS
        assert (path.parent / service['build']['context']).resolve() == ROOT
        assert ROOT / service['build']['dockerfile'] in DOCKERFILES
        named = [volume.partition(':')[0] for volume in service.get('volumes', ())]
        assert {n for n in named if re.fullmatch(r'\w+', n)} == set(content.get('volumes', ()))


@pytest.mark.parametrize(('name', 'service'), [('robot', 'vjepa'), ('gazebo', 'gazebo')])
def test_a_container_starts_what_its_launch_file_takes(name: str, service: str) -> None:
    source = (ROOT / 'vjepa_ros' / 'launching.py').read_text()
    known = set(re.findall(r"^    '(\w+)': \{", source, re.MULTILINE))
    content = yaml.safe_load((ROOT / 'docker' / f'compose.{name}.yaml').read_text())
    command = content['services'][service]['command']
    assert command[:3] == ['ros2', 'launch', 'vjepa_ros']
    launch_file = ROOT / 'launch' / command[3]
    known |= set(re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", launch_file.read_text()))
    assert {argument.partition(':=')[0] for argument in command[4:]} <= known


def test_the_gazebo_image_has_every_package_that_its_launch_file_starts() -> None:
    launch_file = (ROOT / 'launch' / 'gazebo.launch.py').read_text()
    started = set(re.findall(r"package='(\w+)'|FindPackageShare\('(\w+)'\)", launch_file))
    names = {name for pair in started for name in pair if name}
    image = (ROOT / 'docker' / 'gazebo.Dockerfile').read_text()
    parts_of_ros_gz = {'ros_gz_sim', 'ros_gz_bridge'}
    assert parts_of_ros_gz < names
    assert 'ros-jazzy-ros-gz' in image
    for name in names - parts_of_ros_gz:
        assert name in image or f'ros-jazzy-{name.replace("_", "-")}' in image, name


def test_the_entry_point_is_a_program_that_bash_can_read() -> None:
    entry_point = ROOT / 'docker' / 'entrypoint.sh'
    assert entry_point.stat().st_mode & 0o111
    subprocess.run(['bash', '-n', entry_point], check=True)
