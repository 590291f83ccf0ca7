# SPDX-License-Identifier: Apache-2.0
"""One world model and the thread that owns it, for the nodes of one process to share."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from vjepa_planner import available_backends, load_world_model
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
    """A loaded world model and its worker.

    Attributes:
        world_model: To be used on the worker's thread only.
        worker: The thread.
        name: What embeddings of this model are marked with.
    """

    def __init__(self, node: Node) -> None:
        """Declare the parameters of :class:`ModelConfig` on ``node`` and load what they say.

        Raises:
            VjepaPlannerError: There is no such model, or it cannot be loaded.
        """
        config = ConfigParameters(node, ModelConfig()).value
        node.get_logger().info(f'loading model {config.model!r}')
        self.world_model = load_world_model(
            config.model,
            backend=config.backend,
            device=config.device,
            seed=config.model_seed,
            precision=config.precision,
        )
        engine = self.world_model.backend
        node.get_logger().info(f'it runs on {engine.name}, {engine.device}')
        self.name = self.world_model.config.name
        self.worker = Worker()

    def close(self) -> None:
        """End the worker."""
        self.worker.close()
