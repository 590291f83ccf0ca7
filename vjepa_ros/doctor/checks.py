# SPDX-License-Identifier: Apache-2.0
"""Each check of the graph that runs: one function, which yields what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import qos_check_compatible, QoSCompatibility
from sensor_msgs.msg import CompressedImage, Image

from vjepa_msgs.msg import Status
from vjepa_planner.errors import VjepaPlannerError
from vjepa_planner.health import Finding, Level
from vjepa_planner.robots import fr3
from vjepa_ros.conversions import IMAGE_ENCODINGS, image_from_message
from vjepa_ros.doctor import config as limits
from vjepa_ros.doctor.listener import Listener, NODES, Stream

_MIN_SIZE = 64  # [px] of an image: below, nothing of the scene is left
_CONTROLLERS = '/controller_manager/list_controllers'
_GRIPPER_ACTIONS = ('move', 'grasp', 'gripper_action')


def check_nodes(listener: Listener) -> Iterator[Finding]:
    """Our four nodes are there and say something; the commander is not e-stopped."""
    missing = [name for name in NODES if listener.namespace not in listener.nodes(name)]
    if missing:
        yield Finding(
            check='nodes',
            level=Level.FAIL,
            found=f'missing in {listener.namespace}: {", ".join(missing)}',
            expected=', '.join(NODES),
            advice='Start planner.launch.py, or give --namespace and the same ROS_DOMAIN_ID.',
        )
    for name in (name for name in NODES if name not in missing):
        status = listener.statuses.get(name)
        if status is None:
            advice = 'It hangs, or its messages do not get here: restart it.'
            yield Finding(check=name, level=Level.FAIL, found='silent', advice=advice)
            continue
        stopped = status.state == Status.E_STOPPED
        yield Finding(
            check=name,
            level=Level.WARN if stopped else Level.OK,
            found=status.reason or 'at work',
            advice='Call release_e_stop, then start, when it is safe.' if stopped else '',
        )


def check_diagnostics(listener: Listener) -> Iterator[Finding]:
    """Nobody reports an error on /diagnostics."""
    bad = {
        name: status.message
        for name, status in listener.diagnostics.items()
        if status.level in (DiagnosticStatus.ERROR, DiagnosticStatus.STALE)
    }
    if not listener.diagnostics:
        yield Finding(check='diagnostics', level=Level.SKIPPED, found='nobody reports')
        return
    yield Finding(
        check='diagnostics',
        level=Level.FAIL if bad else Level.OK,
        found='; '.join(f'{name}: {text}' for name, text in sorted(bad.items()))
        or f'{len(listener.diagnostics)} reports without an error',
        advice='`ros2 topic echo /diagnostics` has the details.' if bad else '',
    )


def check_camera(listener: Listener) -> Iterator[Finding]:
    """Images come, recent ones, often enough, of a kind that the encoder takes."""
    image = listener.image
    yield from _check_stream(
        listener, image, 'camera', limits.MIN_IMAGE_RATE, limits.MAX_IMAGE_AGE, '--image-topic'
    )
    yield from _check_qos(listener, image.topic)
    message = image.newest
    if message is None:
        return
    kind, good = _picture(message)
    yield Finding(
        check='image',
        level=Level.OK if good else Level.FAIL,
        found=kind,
        expected='' if good else f'{" or ".join(IMAGE_ENCODINGS)}, {_MIN_SIZE} pixels or more',
        advice='' if good else 'Change the camera driver, or convert by image_proc.',
    )


def _picture(message: Image | CompressedImage) -> tuple[str, bool]:
    """Return what kind of image it is, and whether the encoder takes it."""
    if isinstance(message, CompressedImage):
        try:
            height, width, _ = image_from_message(message).shape
        except VjepaPlannerError as error:
            return str(error), False
        return f'{width} x {height} {message.format or "compressed"}', width >= _MIN_SIZE <= height
    good = message.encoding in IMAGE_ENCODINGS and min(message.width, message.height) >= _MIN_SIZE
    return f'{message.width} x {message.height} {message.encoding}', good


def _check_qos(listener: Listener, topic: str) -> Iterator[Finding]:
    """Whoever listens to the camera can take what it offers."""
    apart = []
    for publisher in listener.publishers(topic):
        for subscriber in listener.subscribers(topic):
            compatible, why = qos_check_compatible(publisher.qos_profile, subscriber.qos_profile)
            if compatible == QoSCompatibility.ERROR:
                apart.append(f'{publisher.node_name} to {subscriber.node_name}: {why}')
    if not listener.publishers(topic) or not listener.subscribers(topic):
        yield Finding(check='camera QoS', level=Level.SKIPPED, found='nobody to connect')
        return
    yield Finding(
        check='camera QoS',
        level=Level.FAIL if apart else Level.OK,
        found='; '.join(apart) or 'compatible',
        expected='a subscriber that asks for no more than the publisher offers' if apart else '',
        advice=f'Set qos_overrides.{topic}.subscription.reliability to best_effort.'
        if apart
        else '',
    )


def _check_stream(
    listener: Listener, stream: Stream, check: str, min_rate: float, max_age: float, option: str
) -> Iterator[Finding]:
    """It has one publisher and comes often and recent enough."""
    publishers = [one.node_name for one in listener.publishers(stream.topic)]
    if not publishers:
        yield Finding(
            check=check,
            level=Level.FAIL,
            found=f'nobody publishes {stream.topic}',
            expected='one publisher',
            advice=f'Start it, remap the topic, or name it by {option}.',
        )
        return
    if stream.newest is None:
        yield Finding(
            check=check,
            level=Level.FAIL,
            found=f'{", ".join(publishers)} on {stream.topic} sent nothing',
            expected=f'{min_rate:g} Hz or more',
            advice='Is the device at work, and of the type of message that is expected?',
        )
        return
    age, rate = stream.ages.percentile(50), stream.rate
    others = f' from {len(publishers)} publishers' if len(publishers) > 1 else ''
    slow, old = rate < min_rate, not -0.1 < age < max_age
    yield Finding(
        check=check,
        level=Level.FAIL if old else Level.WARN if slow or others else Level.OK,
        found=f'{stream.topic}: {rate:.1f} Hz{others}, {1000 * age:.0f} ms old',
        expected=f'one publisher, {min_rate:g} Hz or more, at most {1000 * max_age:g} ms old',
        advice=_stream_advice(slow, old, bool(others)),
    )


def _stream_advice(slow: bool, old: bool, several: bool) -> str:
    advice = []
    if old:
        advice.append('Compare the clocks (NTP, use_sim_time); lighten the network.')
    if slow:
        advice.append('Raise its rate; with large images see the check of shared memory.')
    if several:
        advice.append('End all publishers but one.')
    return ' '.join(advice)


def check_state(listener: Listener) -> Iterator[Finding]:
    """Measured poses and finger joints come, in the frames and with the names in use."""
    for stream, check, option in (
        (listener.pose, 'measured pose', '--pose-topic'),
        (listener.joints, 'joint states', 'the parameter joint_states_topic'),
    ):
        yield from _check_stream(
            listener, stream, check, limits.MIN_STATE_RATE, limits.MAX_STATE_AGE, option
        )
    if listener.pose.newest is not None:
        wanted = listener.parameter('planner', 'base_frame') or fr3.BASE_FRAME
        frame = listener.pose.newest.header.frame_id
        yield Finding(
            check='base frame',
            level=Level.OK if frame == wanted else Level.FAIL,
            found=f'poses are in {frame!r}',
            expected=f'{wanted!r}',
            advice='' if frame == wanted else 'Set base_frame of planner and commander.',
        )
    if listener.joints.newest is not None:
        wanted = tuple(listener.parameter('planner', 'finger_joints') or fr3.FINGER_JOINT_NAMES)
        names = listener.joints.newest.name
        good = set(wanted) <= set(names)
        yield Finding(
            check='finger joints',
            level=Level.OK if good else Level.FAIL,
            found='there' if good else f'the newest message has {", ".join(names)}',
            expected=', '.join(wanted),
            advice='' if good else 'Set finger_joints and joint_states_topic of the planner.',
        )


def check_command(listener: Listener) -> Iterator[Finding]:
    """Exactly one node commands the arm, and something follows it."""
    topic = listener.target_topic
    names = sorted(
        f'{one.node_namespace.rstrip("/")}/{one.node_name}' for one in listener.publishers(topic)
    )
    good = len(names) == 1
    yield Finding(
        check='commands',
        level=Level.OK if good else Level.FAIL,
        found=f'{topic} is published by {", ".join(names) or "nobody"}',
        expected='exactly one publisher, the commander',
        advice='' if good else 'End the others; start the commander.' if names else _start(),
    )
    followers = [one.node_name for one in listener.subscribers(topic)]
    yield Finding(
        check='controller input',
        level=Level.OK if followers else Level.FAIL,
        found=f'{topic} is followed by {", ".join(followers) or "nobody"}',
        expected='the controller of the arm, or the simulator',
        advice='' if followers else 'Start the controller, or remap its input or target_pose.',
    )


def _start() -> str:
    return 'Start the commander (planner.launch.py), or give --target-topic.'


def check_gripper(listener: Listener) -> Iterator[Finding]:
    """One of the kinds of action that the commander can use is served."""
    wanted = listener.parameter('commander', 'gripper')
    space = listener.parameter('commander', 'gripper_namespace')
    if wanted in (None, 'none'):
        found = 'the commander drives none' if wanted else 'no commander to ask'
        yield Finding(check='gripper', level=Level.SKIPPED, found=found)
        return
    place = listener.node.resolve_topic_name(space)
    served = listener.actions()
    here = [name for name in _GRIPPER_ACTIONS if f'{place}/{name}' in served]
    elsewhere = sorted(name for name in served if name.split('/')[-1] in _GRIPPER_ACTIONS)
    yield Finding(
        check='gripper',
        level=Level.OK if here else Level.FAIL,
        found=f'{place}: {", ".join(here)}'
        if here
        else f'no action below {place}; the graph has {", ".join(elsewhere) or "none"}',
        expected=f'{" or ".join(_GRIPPER_ACTIONS)} below {place}',
        advice='' if here else 'Start the gripper node, or set gripper_namespace.',
    )


def check_controllers(listener: Listener) -> Iterator[Finding]:
    """A controller of ros2_control is active, where there is a controller manager."""
    services = {name for name, _ in listener.node.get_service_names_and_types()}
    if _CONTROLLERS not in services or find_spec('controller_manager_msgs') is None:
        found = 'no controller manager, or controller_manager_msgs is not installed'
        yield Finding(check='controllers', level=Level.SKIPPED, found=found)
        return
    from controller_manager_msgs.srv import ListControllers

    client = listener.node.create_client(ListControllers, _CONTROLLERS)
    answer = listener.answer(client, ListControllers.Request())
    active = (
        [] if answer is None else [one.name for one in answer.controller if one.state == 'active']
    )
    yield Finding(
        check='controllers',
        level=Level.OK if active else Level.FAIL,
        found=f'active: {", ".join(active) or "none"}',
        expected='the controller that follows the commands, and a broadcaster',
        advice='' if active else 'Activate it: `ros2 control switch_controllers --activate NAME`.',
    )


def check_clocks(listener: Listener) -> Iterator[Finding]:
    """All nodes take the time from the same place, and that place has it."""
    simulated = {name: listener.parameter(name, 'use_sim_time') for name in NODES}
    known = {name: value for name, value in simulated.items() if value is not None}
    using = [name for name, value in known.items() if value]
    clock = bool(listener.publishers('/clock'))
    if not known:
        yield Finding(check='clocks', level=Level.SKIPPED, found='no node to ask')
        return
    mixed = bool(using) and len(using) < len(known)
    lost = bool(using) and not clock
    found = f'{", ".join(using) or "no node"} with use_sim_time, /clock '
    yield Finding(
        check='clocks',
        level=Level.FAIL if mixed or lost else Level.OK,
        found=found + ('is published' if clock else 'is not published'),
        expected='all nodes or none with use_sim_time; with it, a /clock',
        advice='Start the simulator with its clock, or unset use_sim_time.'
        if lost
        else 'Set use_sim_time to the same value for all nodes.'
        if mixed
        else '',
    )


def check_other_suites(listener: Listener) -> Iterator[Finding]:
    """Nobody else runs a second one of our suites beside this one."""
    spaces = listener.nodes('commander')
    others = [space for space in spaces if space != listener.namespace]
    doubled = spaces.count(listener.namespace) > 1
    found = f'commanders in {", ".join(sorted(spaces))}' if spaces else 'no commander'
    yield Finding(
        check='other suites',
        level=Level.FAIL if doubled else Level.WARN if others else Level.OK,
        found=found,
        expected='one suite per arm, each in its own namespace',
        advice='End the second one.'
        if doubled
        else 'If they are not for other arms, end them or use another ROS_DOMAIN_ID.'
        if others
        else '',
    )


GRAPH_CHECKS: tuple[Callable[[Listener], Iterator[Finding]], ...] = (
    check_nodes,
    check_clocks,
    check_camera,
    check_state,
    check_command,
    check_gripper,
    check_controllers,
    check_other_suites,
    check_diagnostics,
)
