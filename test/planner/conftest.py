# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the library's tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
import threading

import numpy as np
import numpy.typing as npt
import pytest

from vjepa_planner.data.episodes import Episodes

_ROOT = Path(__file__).resolve().parents[2]
# Numbers of the official code: in this repository, and more of them beside some checkouts.
_FOLDERS = (_ROOT / 'test/fixtures/networks', _ROOT.parent / 'shared/fixtures/parity')

_PIECE = 1 << 16  # of what the server sends at once [byte]

if find_spec('torch') is None:  # a set-up with TORCH=none
    collect_ignore_glob = ['test_training_*.py', 'test_data_collect.py']


@pytest.fixture(scope='session', autouse=True)
def _one_thread() -> None:
    """Let torch use one thread: tiny networks gain nothing from several that wait for each other.

    On a machine that is busy otherwise, the waiting takes a hundred times as long as the work.
    """
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@dataclass(frozen=True)
class OfficialNumbers:
    """Small networks of the official layout and what the official code computes with them."""

    folder: Path

    @property
    def ac_checkpoint(self) -> Path:
        """Encoder and action-conditioned predictor."""
        return self.folder / 'vjepa2_ac_tiny_official_layout.pt'

    @property
    def pretraining_checkpoint(self) -> Path:
        """Encoder and masked predictor."""
        return self.folder / 'vjepa2_pretrain_tiny_official_layout.pt'

    @cached_property
    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See ``test/fixtures/README.md``."""
        with np.load(self.folder / 'parity.npz') as file:
            return dict(file)


@pytest.fixture(
    scope='session',
    params=[path for path in _FOLDERS if path.is_dir()],
    ids=lambda path: path.name,
)
def official(request: pytest.FixtureRequest) -> OfficialNumbers:
    """Each set of official numbers in turn."""
    return OfficialNumbers(request.param)


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an untrained model for images of 32 px, named as the one that is shipped.

    It lies in a folder ``models``, so that it is found by name from the folder above.
    """
    pytest.importorskip('torch')
    from vjepa_planner.networks import save_model_directory
    from vjepa_planner.networks.untrained import make_untrained_networks

    sizes = {'img_size': 32, 'patch_size': 16, 'embed_dim': 32, 'depth': 1, 'num_heads': 2}
    config = {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 32}}
    networks = make_untrained_networks(config, seed=0)
    path = tmp_path_factory.mktemp('tiny') / 'models' / 'franka-sim'
    planner = {'name': 'cem', 'num_samples': 8, 'num_iterations': 2, 'num_elites': 4}
    extra = {'image_size': 32, 'ee_frame': 'fr3_hand_tcp', 'planner': planner}
    save_model_directory(path, networks.encoder, networks.predictor, extra)
    return path


@pytest.fixture(scope='session')
def tiny_episodes() -> Episodes:
    """Ten recorded episodes of four frames of 32 px."""
    from vjepa_planner.data.collect import CollectConfig, record_episode
    from vjepa_planner.simulation import FrankaSimulation, SimulationConfig

    config = CollectConfig(episodes=10, frames=4, image_size=32)
    simulation = FrankaSimulation(SimulationConfig(image_size=32))
    recorded = [record_episode(simulation, config, seed) for seed in range(config.episodes)]
    return Episodes(
        images=np.stack([each.images for each in recorded]),
        states=np.stack([each.states for each in recorded]).astype(np.float32),
        seeds=np.arange(config.episodes),
        gripper_commands=np.stack([each.gripper_commands for each in recorded]).astype(np.float32),
    )


@dataclass
class ServerBehaviour:
    """What a server has, does, and has seen.

    Attributes:
        files: Contents by name.
        ranges: Whether it knows about Range.
        cuts: After how many bytes of the body it closes the connection, one number per request.
        statuses: Of the answers, one per request; 200 sends the file.
        etag: Of all files.
        hold_at: Bytes of the body after which it waits for ``go``.
        requests: Headers of the requests so far.
        paths: Their paths.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    etag: str = '"v1"'
    hold_at: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    requests: list[Message] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ''

    @property
    def range_headers(self) -> list[str | None]:
        """The Range header of each request."""
        return [headers.get('Range') for headers in self.requests]


@pytest.fixture
def server() -> Iterator[ServerBehaviour]:
    """Run a real HTTP server on a free port of this machine; it has no files yet."""
    behaviour = ServerBehaviour()
    server = ThreadingHTTPServer(('127.0.0.1', 0), _handler(behaviour))
    behaviour.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield behaviour
    finally:
        behaviour.go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(behaviour: ServerBehaviour) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.requests.append(self.headers)
            behaviour.paths.append(self.path)
            content = behaviour.files.get(Path(self.path).name)
            if self.path.startswith('/moved/'):
                self.send_response(302)
                self.send_header('Location', self.path.removeprefix('/moved'))
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
            status = behaviour.statuses.pop(0) if behaviour.statuses else 200
            if status != 200:
                self.send_error(status)
            elif content is None:
                self.send_error(404)
            else:
                self._send(content)

        def _send(self, content: bytes) -> None:
            start = self._start()
            if start is not None and start >= len(content):
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(content)}')
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
            self.send_response(200 if start is None else 206)
            if start is not None:
                self.send_header(
                    'Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}'
                )
            body = content[start or 0 :]
            self.send_header('Content-Length', str(len(body)))
            self.send_header('ETag', behaviour.etag)
            self.end_headers()
            self._send_body(body)

        def _start(self) -> int | None:
            """Return the first byte that is wanted, None for the whole file."""
            text = self.headers.get('Range')
            if text is None or not behaviour.ranges:
                return None
            if self.headers.get('If-Range', behaviour.etag) != behaviour.etag:
                return None
            return int(text.removeprefix('bytes=').removesuffix('-'))

        def _send_body(self, body: bytes) -> None:
            end = behaviour.cuts.pop(0) if behaviour.cuts else len(body)
            held = behaviour.hold_at
            for first in range(0, min(end, len(body)), _PIECE):
                if held is not None and first >= held:
                    behaviour.go.wait()
                try:
                    self.wfile.write(body[first : min(first + _PIECE, end)])
                except OSError:  # the client has left
                    break
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    return Handler
