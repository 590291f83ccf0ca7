# SPDX-License-Identifier: Apache-2.0
"""One world model and the thread that owns it, for the nodes of one process to share."""

from __future__ import annotations

from dataclasses import dataclass
import threading

from rclpy.node import Node

from vjepa_planner import available_backends, load_world_model, WorldModel
from vjepa_planner.errors import InvalidInputError
from vjepa_ros.parameters import ConfigParameters
from vjepa_ros.settings import setting
from vjepa_ros.worker import Worker


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which world model a node uses."""

    model: str = setting(
        'franka-sim', 'World model: a name, a model directory or a .pt file', read_only=True
    )
    backend: str = setting(
        'torch', f'What computes: {", ".join(available_backends())}', read_only=True
    )
    device: str = setting('auto', 'Where it computes: auto, cpu, cuda', read_only=True)
    precision: str = setting(
        'float32', 'Number format of the networks: float32, bfloat16 or float16', read_only=True
    )
    model_seed: int = setting(
        0, 'Seed of the weights of the model untrained', minimum=0, maximum=2**31, read_only=True
    )


class Model:
    """A world model and its worker, loaded as long as a node uses them.

    Attributes, which are there while it is loaded:
        world_model: To be used on the worker's thread only.
        worker: The thread.
        name: What embeddings of this model are marked with.
    """

    world_model: WorldModel
    worker: Worker
    name: str

    def __init__(self, node: Node) -> None:
        """Declare the parameters of :class:`ModelConfig` on ``node``; nothing is loaded yet."""
        self._node = node
        self._parameters = ConfigParameters(node, ModelConfig())
        self._lock = threading.Lock()
        self._users = 0
        self._loaded: ModelConfig | None = None

    def acquire(self) -> None:
        """Use the model: load what the parameters say, unless another node uses it already.

        Raises:
            VjepaPlannerError: There is no such model, it cannot be loaded, or another node still
                uses the one from before the parameters were changed.
        """
        with self._lock:
            config = self._parameters.value
            if not self._users:
                self._load(config)
            elif config != self._loaded:
                raise InvalidInputError(
                    f'another node of this process still uses {self._loaded}. Clean it up, too.'
                )
            self._users += 1

    def release(self) -> None:
        """Use the model no longer; after the last user it is unloaded."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self.worker.close()
                del self.worker, self.world_model

    def _load(self, config: ModelConfig) -> None:
        logger = self._node.get_logger()
        logger.info(f'loading model {config.model!r}')
        self.world_model = load_world_model(
            config.model,
            backend=config.backend,
            device=config.device,
            seed=config.model_seed,
            precision=config.precision,
        )
        engine = self.world_model.backend
        logger.info(f'it runs on {engine.name}, {engine.device}')
        self.name = self.world_model.config.name
        self.worker = Worker()
        self._loaded = config
