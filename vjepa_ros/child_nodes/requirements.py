# SPDX-License-Identifier: Apache-2.0
"""What a command with nodes needs besides the library, and a clear word if it is not there."""

from __future__ import annotations

from importlib.util import find_spec

from vjepa_planner.backends import engine_package
from vjepa_planner.errors import MissingDependencyError

_ROS = 'Run `make setup`, or source a ROS 2 Jazzy in which vjepa_msgs was built.'
_EXTRA = "Run `make setup`, or install the extra: pip install 'vjepa_ros[demo]'."
_NEEDED = {
    'rclpy': _ROS,
    'sensor_msgs': _ROS,
    'std_srvs': _ROS,
    'vjepa_msgs': _ROS,
    'mujoco': _EXTRA,
}
_PICTURES = {'matplotlib': _EXTRA, 'imageio_ffmpeg': _EXTRA}


def check_requirements(purpose: str, backend: str, *, pictures: bool) -> None:
    """Raise if a package is missing.

    Args:
        purpose: What needs them, for the message.
        backend: That will run the model.
        pictures: Whether plots and videos will be made.

    Raises:
        MissingDependencyError: It names all that are missing, and what to do.
        UnknownNameError: There is no such backend.
    """
    needed = {**_NEEDED, **(_PICTURES if pictures else {}), engine_package(backend): _EXTRA}
    missing = [name for name in needed if not _is_installed(name)]
    if missing:
        advice = ' '.join(dict.fromkeys(needed[name] for name in missing))
        raise MissingDependencyError(
            f'{purpose} needs packages that are missing: {", ".join(missing)}. {advice}'
        )


def _is_installed(name: str) -> bool:
    """Return whether there is such a package; a mere folder, like our vjepa_msgs, is none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None
