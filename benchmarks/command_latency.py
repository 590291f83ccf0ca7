# SPDX-License-Identifier: Apache-2.0
"""Time from a camera message to a command message, without the time of the model itself.

    python benchmarks/command_latency.py --blocks 10

Encoder, goal, planner and commander run as processes, as planner.launch.py starts them, in
streaming mode; an arm that obeys at once runs beside them. This process is the camera: it
publishes 640 x 480 rgb8 at 30 Hz over DDS, and takes the targets. What is measured, for every
image of which came a plan that the commander took:

- *all*: from just before the image is published to when its first target has arrived here;
- *own*: all, less the time of the encoder network and the time of the planner's search, which are
  taken around these two calls inside the nodes. Everything else counts: Python, DDS, checks,
  resizing, hand-over between threads, the wait for the next tick;
- *relay*: the same for a bare rclpy node that takes the image and sends its header on.

Suite and relay take turns, one block of images each, so that whatever else the machine does hits
both alike; the spread is over the blocks. The networks are tiny and random, because their time is
taken away anyway, but they see 256 x 256 pixels.
"""

from __future__ import annotations

import argparse
from array import array
import bisect
from collections import defaultdict
from contextlib import ExitStack
import itertools
import json
import os
from pathlib import Path
import sys
import tempfile
import threading
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tqdm import tqdm

from vjepa_msgs.msg import Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_planner import VjepaPlannerError
from vjepa_ros import conversions, qos
from vjepa_ros.child_nodes.domain import reserved_domain_id
from vjepa_ros.child_nodes.environment import enter_private_graph
from vjepa_ros.child_nodes.errors import NodesError
from vjepa_ros.child_nodes.processes import NodeProcesses

HEIGHT, WIDTH, RATE = 480, 640, 30.0
PERCENTILES = (50, 95, 99)
TIMEOUT = 120.0  # [s] for the nodes to be ready, on a busy machine
PAUSE = 0.3  # [s] between two blocks
STREAMS = ('image', 'relay/image')
SEPARATE, COMPOSED = ('encoder', 'goal', 'planner', 'commander'), ('composed',)
STAGES = ('image to encoder', 'encoder', 'encoder to planner', 'planner', 'planner to commander',
          'commander to target', 'target to receiver')  # fmt: skip


class Camera:
    """Publishes images, and notes when each was sent and when something came back for it.

    Attributes:
        sent: Steady time [s] by stamp [ns], of either stream.
        targets: Steady times of the targets [s].
        relayed: Steady time by stamp, of what the relay sent.
        statuses: Newest of each node.
    """

    def __init__(self, check: Any) -> None:  # noqa: ANN401 - a function
        """Join the graph."""
        rclpy.init(args=[])
        self._check = check
        self.sent: dict[int, float] = {}
        self.targets: list[float] = []
        self.relayed: dict[int, float] = {}
        self.statuses: dict[str, Status] = {}
        self.node = rclpy.create_node('camera', namespace='vjepa')
        self._streams = {
            name: self.node.create_publisher(Image, name, qos.CAMERA) for name in STREAMS
        }
        self._goal = self.node.create_client(SetGoalImage, 'set_goal_image')
        subscribe = self.node.create_subscription
        subscribe(PoseStamped, 'target_pose', self._on_target, qos.COMMAND)
        subscribe(Header, 'relay/answer', self._on_answer, qos.COMMAND)
        subscribe(Status, 'status', self._on_status, qos.ALL_STATUS)
        pixels = np.random.default_rng(0).integers(0, 256, (8, HEIGHT, WIDTH, 3), dtype=np.uint8)
        self._pixels = itertools.cycle([array('B', image.tobytes()) for image in pixels])
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._closing = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.1)

    def __enter__(self) -> Camera:
        """Return itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Leave the graph."""
        self._closing = True
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _on_target(self, _message: PoseStamped) -> None:
        self.targets.append(time.monotonic())

    def _on_answer(self, message: Header) -> None:
        self.relayed[conversions.nanoseconds_from_stamp(message.stamp)] = time.monotonic()

    def _on_status(self, message: Status) -> None:
        self.statuses[message.node] = message

    def stream(self, name: str, count: int) -> list[int]:
        """Publish so many images at the rate of the camera, and return their stamps."""
        stamps = []
        begin = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            message = self._image()
            stamps.append(conversions.nanoseconds_from_stamp(message.header.stamp))
            self.sent[stamps[-1]] = time.monotonic()
            self._streams[name].publish(message)
        time.sleep(PAUSE)
        self._check()
        return stamps

    def _image(self) -> Image:
        message = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
        message.data = next(self._pixels)
        message.header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id='camera')
        return message

    def prepare(self) -> None:
        """Wait for the nodes, set a goal, and return when targets and answers of the relay come.

        Raises:
            NodesError: They do not.
        """
        self._wait(self._goal.service_is_ready, 'goal node')
        self._wait(self._set_goal, 'goal')
        self._wait(lambda: self.stream('image', 10) and len(self.targets) > 20, 'targets')
        self._wait(lambda: self.stream('relay/image', 10) and self.relayed, 'answers')

    def _set_goal(self) -> bool:
        answer = self._goal.call_async(SetGoalImage.Request(image=self._image()))
        self._wait(answer.done, 'answer of set_goal_image')
        return bool(answer.result().success)  # not before the encoder has loaded its model

    def _wait(self, condition: Any, what: str) -> None:  # noqa: ANN401 - a function
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self._check()
            time.sleep(0.05)
            if time.monotonic() > deadline:
                said = ' '.join(f'{one.node}: {one.reason}' for one in self.statuses.values())
                raise NodesError(f'no {what} for {TIMEOUT:g} s. {said}')


class CpuClock:
    """Adds up the processor time [s] of processes while it is entered, whatever else runs."""

    def __init__(self, pids: list[int]) -> None:
        """Watch these processes."""
        self.total = 0.0
        self._pids = pids

    def __enter__(self) -> None:
        """Begin."""
        self.total -= self._now()

    def __exit__(self, *_exception: object) -> None:
        """End."""
        self.total += self._now()

    def _now(self) -> float:
        return sum(map(self._used, self._pids))

    @staticmethod
    def _used(pid: int) -> float:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def make_model(folder: Path) -> Path:
    """Write a model of tiny random networks that see 256 x 256 pixels, and return its folder."""
    from vjepa_planner.networks.checkpoints import save_model_directory
    from vjepa_planner.networks.untrained import make_untrained_networks

    sizes = {'img_size': 256, 'patch_size': 32, 'embed_dim': 24, 'depth': 1, 'num_heads': 2}
    networks = make_untrained_networks(
        {'encoder': sizes, 'ac_predictor': {**sizes, 'predictor_embed_dim': 24}}, seed=0
    )
    planner = {'name': 'cem', 'num_samples': 4, 'num_iterations': 1, 'num_elites': 2}
    planner['max_translation'] = 0.02
    extra = {'name': 'tiny', 'image_size': 256, 'ee_frame': 'fr3_hand_tcp', 'planner': planner}
    save_model_directory(folder, networks.encoder, networks.predictor, extra)
    return folder


def start(processes: NodeProcesses, folder: Path, nodes: tuple[str, ...]) -> None:
    """Start the nodes, the arm and the relay."""
    model = {'model': str(make_model(folder / 'model')), 'backend': 'torch', 'device': 'cpu'}
    parameters = {
        'encoder': model | {'max_rate': 200.0},
        'planner': model | {'wait_for_commander': False, 'joint_states_topic': 'joint_states'},
        'commander': {'mode': 'streaming', 'autostart': True, 'gripper': 'none'},
    }
    file = folder / 'parameters.yaml'
    content = {f'/**/{node}': {'ros__parameters': values} for node, values in parameters.items()}
    file.write_text(json.dumps(content))
    for name in (*nodes, 'arm', 'relay'):
        arguments = [name, str(folder / f'{name}.json'), '--ros-args', '--params-file', str(file)]
        processes.start(name, 'timed_nodes', arguments, threads=1)


def stages(records: list[list[Any]], camera: Camera, stamp: int) -> list[float] | None:
    """Return the times of the STAGES of one image [s], or None if it led to no command."""
    found = {name: (begin, end) for name, one, begin, end in records if one == stamp}
    if not {'encode', 'plan', 'taken'} <= found.keys():
        return None
    sends = [begin for name, _, begin, _ in records if name == 'sent']
    following = sends[bisect.bisect_left(sends, found['taken'][1]) :]
    if not following:
        return None
    arrival = bisect.bisect_left(camera.targets, following[0])
    if arrival == len(camera.targets):
        return None
    moments = [camera.sent[stamp], *found['encode'], *found['plan'], found['taken'][1],
               following[0], camera.targets[arrival]]  # fmt: skip
    return list(np.diff(moments))


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the percentiles that are reported [s], by name."""
    return {f'p{p}': float(np.percentile(seconds, p)) for p in PERCENTILES}


def summary(blocks: list[list[float]]) -> dict[str, Any]:
    """Return percentiles over all blocks, and the least and largest of each over the blocks."""
    single = [percentiles(block) for block in blocks if block]
    spread = {
        name: [min(one[name] for one in single), max(one[name] for one in single)]
        for name in single[0]
    }
    values = [value for block in blocks for value in block]
    return {'count': len(values), 'seconds': percentiles(values), 'spread': spread}


def measure(arguments: argparse.Namespace, folder: Path, nodes: tuple[str, ...]) -> dict[str, Any]:
    """Run the blocks and return the results."""
    suite, relays = [], []
    with ExitStack() as stack:
        enter_private_graph(stack.enter_context(reserved_domain_id()), folder)
        processes = stack.enter_context(NodeProcesses(folder))
        start(processes, folder, nodes)
        camera = stack.enter_context(Camera(processes.check))
        camera.prepare()
        clocks = [
            CpuClock([processes.pid(name) for name in names]) for names in (nodes, ['relay'])
        ]
        for _ in tqdm(range(arguments.blocks), desc='+'.join(nodes), unit='block', leave=False):
            for clock, stream, stamps in zip(clocks, STREAMS, (suite, relays), strict=True):
                with clock:
                    stamps.append(camera.stream(stream, arguments.images))
    records = [one for node in nodes for one in json.loads((folder / f'{node}.json').read_text())]
    images = arguments.blocks * arguments.images
    cpu = {
        name: clock.total / images for name, clock in zip(('suite', 'relay'), clocks, strict=True)
    }
    return {**evaluate(suite, relays, camera, records), 'cpu_seconds_per_image': cpu}


def evaluate(
    suite: list[list[int]], relays: list[list[int]], camera: Camera, records: list[list[Any]]
) -> dict[str, Any]:
    """Return what the stamps of the blocks say, with the records of the stopwatches."""
    records.sort(key=lambda record: record[2])
    blocks = [[stages(records, camera, stamp) for stamp in block] for block in suite]
    answered = [[one for one in block if one is not None] for block in blocks]
    if not any(answered):
        raise NodesError('no image led to a command.')
    own = [i for i, stage in enumerate(STAGES) if stage not in ('encoder', 'planner')]
    by_stage: defaultdict[str, list[float]] = defaultdict(list)
    for times in itertools.chain.from_iterable(answered):
        for stage, seconds in zip(STAGES, times, strict=True):
            by_stage[stage].append(seconds)
    passed = [
        [camera.relayed[stamp] - camera.sent[stamp] for stamp in block if stamp in camera.relayed]
        for block in relays
    ]
    return {
        'images': sum(map(len, suite)),
        'own': summary([[sum(times[i] for i in own) for times in block] for block in answered]),
        'all': summary([[sum(times) for times in block] for block in answered]),
        'relay': summary(passed),
        'stages': {stage: percentiles(seconds) for stage, seconds in by_stage.items()},
    }


def print_table(results: dict[str, dict[str, Any]], about: dict[str, Any]) -> None:
    """Print percentiles with their spread, and where the time goes."""
    print(
        f'{about["cores"]} cores, load {about["load_before"]:.1f} before and '
        f'{about["load_after"]:.1f} after; {WIDTH} x {HEIGHT} rgb8 at {RATE:g} Hz; milliseconds, '
        'in brackets the spread over the blocks'
    )
    for nodes, result in results.items():
        print(f'\n{nodes}: {result["own"]["count"]} of {result["images"]} images led to a command')
        cpu = result['cpu_seconds_per_image']
        print(
            f'  processor time per image: suite {1e3 * cpu["suite"]:.1f} (model included), relay '
            f'{1e3 * cpu["relay"]:.1f}'
        )
        for name in ('own', 'all', 'relay'):
            one = result[name]
            cells = [
                f'{p} {1e3 * one["seconds"][p]:6.2f} '
                f'({1e3 * one["spread"][p][0]:.1f} .. {1e3 * one["spread"][p][1]:.1f})'
                for p in one['seconds']
            ]
            print(f'  {name:22}' + ''.join(f'{cell:30}' for cell in cells).rstrip())
        for stage, seconds in result['stages'].items():
            cells = [f'{p} {1e3 * value:6.2f}' for p, value in seconds.items()]
            print(f'    {stage:20}' + ''.join(f'{cell:30}' for cell in cells).rstrip())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Time from a camera message to a command message, beside a bare relay node.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--blocks', type=int, default=10, help='of images, of suite and relay in turn')
    add('--images', type=int, default=100, help='per block')
    add('--nodes', nargs='+', choices=('separate', 'composed'), default=['separate', 'composed'],
        help='processes of their own, or one for all')  # fmt: skip
    add('--json', type=Path, default=None, metavar='FILE', help='where to write the results too')
    arguments = parser.parse_args()
    if arguments.blocks < 1 or arguments.images < 1:
        parser.error('--blocks and --images must be at least 1')
    return arguments


def main() -> int:
    """Measure and report."""
    arguments = parse_arguments()
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parent), os.environ.get('PYTHONPATH', '')]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    about: dict[str, Any] = {'cores': os.cpu_count(), 'load_before': os.getloadavg()[0]}
    results = {}
    try:
        for name in arguments.nodes:
            nodes = SEPARATE if name == 'separate' else COMPOSED
            with tempfile.TemporaryDirectory() as folder:
                results[name] = measure(arguments, Path(folder), nodes)
    except VjepaPlannerError as error:
        print(f'command_latency: {error}', file=sys.stderr)
        return 2
    about['load_after'] = os.getloadavg()[0]
    print_table(results, about)
    if arguments.json is not None:
        content = {'machine': about, 'results': results}
        arguments.json.write_text(json.dumps(content, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
