# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: levels and reasons, ages, rates and latencies of real nodes."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vjepa_msgs.msg import Status
from vjepa_ros import conversions, qos
from vjepa_ros.commander_node import CommanderNode
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


class Monitor:
    """Keeps the newest diagnostics by name, as a diagnostic aggregator does."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.newest: dict[str, DiagnosticStatus] = {}
        graph.observer.create_subscription(DiagnosticArray, '/diagnostics', self.take, 10)

    def take(self, message: DiagnosticArray) -> None:
        self.newest |= {status.name: status for status in message.status}

    def wait_for(self, name: str, level: bytes, text: str = '') -> DiagnosticStatus:
        def status() -> DiagnosticStatus | None:
            found = self.newest.get(name)
            good = found is not None and found.level == level and text in found.message
            return found if good else None

        try:
            return self.graph.wait_until(status, f'{name} at level {level!r}', 20.0)
        except AssertionError as error:
            raise AssertionError(f'{error}: {self.newest}') from None


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


@pytest.fixture
def encoder(graph, tiny_model):
    """Return a function that starts an encoder with parameters, and returns its monitor."""

    def start(**parameters) -> Monitor:
        graph.begin(encoder={'model': str(tiny_model), 'device': 'cpu', **parameters})
        monitor = Monitor(graph)
        graph.start(EncoderNode())
        return monitor

    return start


class Camera:
    """A camera of ten images per second."""

    def __init__(self, graph, image, profile=qos.CAMERA) -> None:
        self._publisher = graph.observer.create_publisher(Image, 'image', profile)
        self._timer = graph.observer.create_timer(0.1, self._publish)
        self._graph, self._image = graph, image
        self.stop = self._timer.cancel

    def _publish(self) -> None:
        header = Header(stamp=self._graph.now())
        self._publisher.publish(conversions.image_to_message(self._image, header))


def test_rates_ages_and_latencies_of_a_camera_and_its_encoder(encoder, camera_image) -> None:
    monitor = encoder(max_rate=5.0)
    Camera(monitor.graph, camera_image)
    monitor.wait_for('/vjepa/encoder', OK, 'executing')
    time.sleep(2.0)
    node = values(monitor.newest['/vjepa/encoder'])
    assert int(node['accepted']) > 3
    assert int(node['images beyond max_rate']) > 3
    latencies = [
        float(node[f'{name} p{p} [ms]'])
        for name in ('encode', 'image to embedding')
        for p in (50, 99)
    ]
    assert 0.0 < latencies[0] <= latencies[1]
    assert latencies[0] < latencies[2] <= latencies[3] < 10_000
    image = monitor.wait_for('/vjepa/encoder /vjepa/image', OK)
    assert float(values(image)['rate [Hz]']) == pytest.approx(10.0, rel=0.5)
    assert 0.0 < float(values(image)['age p50 [ms]']) < 1000.0
    assert 'Hz' in image.message


def test_a_missing_camera_is_an_error_that_says_so(encoder) -> None:
    monitor = encoder()
    monitor.wait_for('/vjepa/encoder /vjepa/image', ERROR, 'nobody publishes /vjepa/image')
    monitor.wait_for('/vjepa/encoder', ERROR, 'nobody publishes /vjepa/image')


def test_a_camera_that_stops_is_stale(encoder, camera_image) -> None:
    monitor = encoder()
    camera = Camera(monitor.graph, camera_image)
    monitor.wait_for('/vjepa/encoder /vjepa/image', OK)
    camera.stop()
    monitor.wait_for('/vjepa/encoder /vjepa/image', STALE, 'has been silent')
    assert monitor.newest['/vjepa/encoder'].level == ERROR


def test_an_incompatible_camera_is_an_error_that_names_the_policy_within_two_seconds(
    encoder, camera_image
) -> None:
    override = 'qos_overrides./vjepa/image.subscription.reliability'
    monitor = encoder(**{override: 'reliable'})
    begin = time.monotonic()
    Camera(monitor.graph, camera_image, qos.IMAGE)
    name = '/vjepa/encoder /vjepa/image'
    status = monitor.wait_for(name, ERROR, 'the QoS policy reliability is incompatible')
    assert time.monotonic() - begin < 2.0
    assert '/vjepa/observer offers best_effort, this node requests reliable' in status.message
    assert override in status.message


def test_a_compatible_camera_beside_an_incompatible_one_is_good(encoder, camera_image) -> None:
    monitor = encoder(**{'qos_overrides./vjepa/image.subscription.reliability': 'reliable'})
    Camera(monitor.graph, camera_image, qos.IMAGE)
    monitor.wait_for('/vjepa/encoder /vjepa/image', ERROR, 'incompatible')
    Camera(monitor.graph, camera_image)
    monitor.wait_for('/vjepa/encoder /vjepa/image', OK)


def test_the_state_of_the_commander_is_its_level(graph) -> None:
    graph.begin()
    monitor = Monitor(graph)
    graph.start(CommanderNode())
    graph.call(Trigger, 'e_stop')
    status = monitor.wait_for('/vjepa/commander', ERROR, 'e_stop')
    assert values(status)['state'] == 'e-stopped'


def test_simulated_time_without_a_clock_is_an_error(graph) -> None:
    graph.begin(goal={'use_sim_time': True})
    monitor = Monitor(graph)
    graph.start(GoalNode())
    monitor.wait_for('/vjepa/goal /clock', ERROR, 'unset use_sim_time')


def test_a_profile_that_one_node_overrides_stays_what_it_is_for_the_others(graph) -> None:
    graph.begin(goal={'qos_overrides./vjepa/image.subscription.depth': 7})
    graph.start(GoalNode())
    graph.wait_for_status('goal', Status.WAITING, 'no goal set')
    assert qos.IMAGE.depth == 1
