# SPDX-License-Identifier: Apache-2.0
"""Packaging of vjepa_ros, for colcon (ament_python) and for pip.

The name, version, description and licence stand in package.xml only.
"""

from __future__ import annotations

import atexit
from pathlib import Path
import shutil
import sys
import tempfile
from xml.etree import ElementTree as ET

from setuptools import find_packages, setup

PACKAGE = 'vjepa_ros'
NODES = (
    'commander',
    'encoder',
    'goal',
    'gripper',
    'hand_pose',
    'planner',
    'recorder',
    'simulator',
)
EXECUTABLES = {node: f'{PACKAGE}.{node}_node:main' for node in NODES}
EXECUTABLES['composed'] = f'{PACKAGE}.composed:main'
COMMAND_LINE = {'vjepa': 'vjepa_planner.cli:main'}

SIMULATION = ['mujoco-core>=3.3']
DATA = [
    'h5py>=3.8',
    'imageio-ffmpeg>=0.5',
    'pyarrow>=15',
    'rosbags>=0.11',
]
DEMO = ['imageio-ffmpeg>=0.5', 'matplotlib>=3.6']
ONNXRUNTIME = ['onnxruntime>=1.20', 'safetensors>=0.4']
TORCH = ['safetensors>=0.4', 'torch>=2.4']
EXPORT = [*TORCH, 'onnx>=1.17', 'onnx-ir>=0.1.12', 'onnxscript>=0.5']
TRAIN = [*TORCH, 'matplotlib>=3.6']
TENSORRT = [*EXPORT, 'tensorrt>=10.12']
TEST = ['hypothesis', 'pytest', 'pytest-rerunfailures', 'pytest-timeout', 'pytest-xdist']

# Runs under sh, which hands over to the Python of the prefix that pip installed into.
LAUNCHER = """\
#!/bin/sh
''':'
python="$(dirname "$(readlink -f "$0")")/../../bin/python3"
[ -x "$python" ] || python=python3
exec "$python" "$0" "$@"
'''
import sys

from {module} import {function}

sys.exit({function}())
"""


def launchers(folder: Path) -> list[str]:
    """Write one executable per node into ``folder``.

    pip ignores setup.cfg's install_scripts and would put ``planner``, ``goal`` and so on into
    bin/, where ros2 run does not look and where such plain names are in the way.
    """
    for name, target in EXECUTABLES.items():
        module, function = target.split(':')
        path = folder / name
        path.write_text(LAUNCHER.format(module=module, function=function))
        path.chmod(0o755)
    return [str(folder / name) for name in EXECUTABLES]


def share(*folders: str) -> list[tuple[str, list[str]]]:
    """Return the data_files that install every file of ``folders`` below share/vjepa_ros."""
    files: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                files.setdefault(f'share/{PACKAGE}/{path.parent}', []).append(str(path))
    return list(files.items())


def entry_points(scripts: dict[str, str]) -> list[str]:
    """Return console_scripts entries."""
    return [f'{name} = {target}' for name, target in scripts.items()]


package_xml = ET.parse('package.xml').getroot()
maintainer = package_xml.find('maintainer')
data_files = [
    ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
    (f'share/{PACKAGE}', ['package.xml']),
    *share('launch', 'config', 'gazebo', 'models'),
]
scripts = COMMAND_LINE | EXECUTABLES
options = {}
if not {'install', 'develop'} & set(sys.argv):  # the commands of colcon; anything else is pip
    scripts = COMMAND_LINE
if 'bdist_wheel' in sys.argv:
    scratch = Path(tempfile.mkdtemp(prefix='vjepa_ros-'))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    data_files.append((f'lib/{PACKAGE}', launchers(scratch)))
    # A fresh build folder: modules deleted since must not come back, and build/ is colcon's.
    options = {'build': {'build_base': str(scratch / 'build')}}

setup(
    name=PACKAGE,
    version=package_xml.findtext('version'),
    description=package_xml.findtext('description'),
    maintainer=maintainer.text,
    maintainer_email=maintainer.get('email'),
    license=package_xml.findtext('license'),
    python_requires='>=3.11',
    packages=find_packages(include=['vjepa_planner*', 'vjepa_ros*']),
    package_data={'vjepa_planner': ['py.typed'], 'vjepa_ros': ['py.typed']},
    data_files=data_files,
    install_requires=['numpy>=1.26', 'opencv-python-headless>=4.6', 'pyyaml>=6.0', 'tqdm>=4.60'],
    extras_require={
        'torch': TORCH,
        'onnxruntime': ONNXRUNTIME,
        'export': EXPORT,
        'train': TRAIN,
        'tensorrt': TENSORRT,
        'data': DATA,
        'simulation': SIMULATION,
        'demo': SIMULATION + DEMO + TORCH,
        'test': TEST,
        'dev': [*TEST, 'mypy', 'ruff'],
    },
    entry_points={'console_scripts': entry_points(scripts)},
    options=options,
    zip_safe=False,
)
