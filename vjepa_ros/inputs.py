# SPDX-License-Identifier: Apache-2.0
"""What comes in on the topics of a node: how often, how old, and why not."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo
from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility, QoSPolicyKind, QoSProfile
from rclpy.subscription import Subscription

from vjepa_ros import conversions, qos
from vjepa_ros.samples import Arrivals, Samples

SILENCE = 2.0
"""A stream without a message for this long has stopped [s]."""

_GRACE = 2.0  # [s] after the start of a node until its streams have to be there
_CLOCK = '/clock'  # subscribed to where use_sim_time is set
_STREAMS = (qos.IMAGE, qos.ROBOT_STATE)  # from devices, so that they never pause
_NANOSECONDS = 1e9


class Input:
    """One subscription.

    Attributes:
        topic: As it is resolved.
        arrivals: Of messages.
        ages: Of their header stamps when they came [s].
        is_stream: Whether messages have to come all the time.
    """

    def __init__(self, node: Node, topic: str, profile: QoSProfile | int) -> None:
        """Watch a subscription that is about to be made on ``node``."""
        self.topic = topic
        self.arrivals = Arrivals()
        self.ages = Samples()
        self.is_stream = topic == _CLOCK or any(profile is stream for stream in _STREAMS)
        self._node = node
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._subscription: Subscription | None = None
        self._mismatch: tuple[str, float] | None = None  # policy, and when it was noticed

    def attach(self, subscription: Subscription) -> None:
        """Name the subscription once it is made."""
        self.topic = subscription.topic_name
        self._subscription = subscription

    def is_of(self, subscription: Subscription) -> bool:
        """Return whether this is the subscription."""
        return self._subscription is subscription

    def counting(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that counts a message and hands it on."""

        def count(message: object) -> None:
            with self._lock:
                self.arrivals.add(time.monotonic())
                stamp = getattr(getattr(message, 'header', None), 'stamp', None)
                if stamp is not None:
                    then = conversions.nanoseconds_from_stamp(stamp)
                    now = self._node.get_clock().now().nanoseconds
                    self.ages.add((now - then) / _NANOSECONDS)
            callback(message)

        return count

    def on_mismatch(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        """Remember that a publisher offers what this subscription cannot take."""
        policy = QoSPolicyKind(event.last_policy_kind).name.lower()
        self._mismatch = policy, time.monotonic()

    def complaint(self, now: float) -> str:
        """Return what is wrong at the steady time ``now`` [s]; empty if nothing is."""
        with self._lock:
            silence = self.arrivals.silence(now)
        if self._mismatch is not None and silence > now - self._mismatch[1]:
            return self._mismatch_in_words()
        if not self.is_stream or now - self._begin < _GRACE or silence <= SILENCE:
            return ''
        if not self._node.count_publishers(self.topic):
            remedy = 'or unset use_sim_time' if self.topic == _CLOCK else 'or remap the topic'
            return f'nobody publishes {self.topic}. Start its source, {remedy}.'
        if self.arrivals.count:
            return f'{self.topic} has been silent for {silence:.1f} s.'
        return f'{self.topic} has a publisher, but no message has come yet.'

    def has_stopped(self, now: float) -> bool:
        """Return whether a stream has come and does not any more."""
        return self.is_stream and self.arrivals.count > 0 and self.arrivals.silence(now) > SILENCE

    def _mismatch_in_words(self) -> str:
        """Return which policy keeps publisher and subscription apart, and who it is."""
        assert self._mismatch is not None
        policy = self._mismatch[0]
        wanted = self._subscription.qos_profile if self._subscription is not None else None
        others = [
            f'{info.node_namespace.rstrip("/")}/{info.node_name} offers '
            f'{_policy(info.qos_profile, policy)}'
            for info in self._node.get_publishers_info_by_topic(self.topic)
            if wanted is None
            or qos_check_compatible(info.qos_profile, wanted)[0] == QoSCompatibility.ERROR
        ]
        return (
            f'{self.topic}: the QoS policy {policy} is incompatible: {", ".join(others) or "?"}, '
            f'this node requests {_policy(wanted, policy)}. Change it by the parameter '
            f'qos_overrides.{self.topic}.subscription.{policy}, or in the publisher.'
        )


def _policy(profile: QoSProfile | None, policy: str) -> str:
    """Return the value of a policy in words."""
    value = getattr(profile, policy, None)
    return str(getattr(value, 'name', value)).lower()
