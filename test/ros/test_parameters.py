# SPDX-License-Identifier: Apache-2.0
"""Parameters say what the dataclass says, and refuse what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter

from vjepa_planner.errors import InvalidInputError
from vjepa_planner.planners import CEMConfig
from vjepa_ros.motion import MotionLimits
from vjepa_ros.parameters import ConfigParameters, parameter_values
from vjepa_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class Example:
    speed: float = setting(0.25, 'Speed [m/s]', minimum=0.0, maximum=1.0)
    count: int = setting(3, 'Count', minimum=1)
    first: int | None = setting(None, 'First step', minimum=0)
    name: str = setting('cem', 'Name', read_only=True)
    held: Mapping[str, float] = field(default_factory=dict, metadata={'description': 'Held axes'})
    looks: frozenset[str] = setting(frozenset({'lights'}), 'Looks')


def set_parameter(node, name: str, value: object):
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_descriptions_units_and_ranges_are_those_of_the_dataclass(graph) -> None:
    graph.begin()
    ConfigParameters(graph.observer, Example(), 'example.')
    speed = graph.observer.describe_parameter('example.speed')
    assert speed.description == 'Speed [m/s]'
    assert speed.type == ParameterType.PARAMETER_DOUBLE
    assert (speed.floating_point_range[0].from_value, speed.floating_point_range[0].to_value) == (
        0.0,
        1.0,
    )
    assert graph.observer.describe_parameter('example.count').integer_range[0].from_value == 1
    assert graph.observer.describe_parameter('example.name').read_only
    assert graph.observer.get_parameter('example.looks').value == ['lights']


def test_defaults_come_back_as_they_were(graph) -> None:
    graph.begin()
    default = CEMConfig(num_samples=64, fixed_axes={'z': 0.0})
    assert ConfigParameters(graph.observer, default, 'planner.').value == default
    assert ConfigParameters(graph.observer, MotionLimits()).value == MotionLimits()


def test_a_dataclass_survives_the_way_through_a_parameter_file(graph) -> None:
    config = CEMConfig(num_samples=64, max_translation=1, fixed_axes={'gripper': 0.5})
    graph.begin(observer=parameter_values(config, 'planner.'))
    assert ConfigParameters(graph.observer, CEMConfig(), 'planner.').value == config


def test_every_parameter_of_the_planner_is_described(graph) -> None:
    graph.begin()
    ConfigParameters(graph.observer, CEMConfig(), 'planner.')
    for name in graph.observer.get_parameters_by_prefix('planner'):
        assert graph.observer.describe_parameter(f'planner.{name}').description


def test_a_change_takes_effect_as_a_whole_and_is_told(graph) -> None:
    graph.begin()
    told = []
    parameters = ConfigParameters(
        graph.observer, Example(), on_change=lambda: told.append(parameters.value)
    )
    for name, value in (
        ('speed', 0.5),
        ('first', 2),
        ('held', ['z=0.1', 'gripper=1']),
        ('looks', ['']),
    ):
        assert set_parameter(graph.observer, name, value).successful
    assert told[-1] == Example(
        speed=0.5, first=2, held={'z': 0.1, 'gripper': 1.0}, looks=frozenset()
    )
    assert set_parameter(graph.observer, 'first', -1).successful
    assert parameters.value.first is None


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('speed', 1.5, 'range'),
        ('count', 0, 'range'),
        ('first', -2, 'range'),
        ('held', ['z'], "strings like 'z=0.0', got 'z'"),
        ('held', ['z=near'], "got 'z=near'"),
    ],
)
def test_a_value_out_of_range_is_refused_and_changes_nothing(
    graph, name: str, value: object, reason: str
) -> None:
    graph.begin()
    parameters = ConfigParameters(graph.observer, Example())
    result = set_parameter(graph.observer, name, value)
    assert not result.successful
    assert reason in result.reason
    assert parameters.value == Example()


def test_values_that_do_not_go_together_are_refused_with_the_words_of_the_dataclass(graph) -> None:
    graph.begin()
    parameters = ConfigParameters(graph.observer, CEMConfig(), 'planner.')
    result = set_parameter(graph.observer, 'planner.num_elites', 900)
    assert not result.successful
    assert 'num_elites must not exceed num_samples' in result.reason
    assert parameters.value == CEMConfig()


@pytest.mark.parametrize(
    ('given', 'error'),
    [
        ({'speed': 2.0}, InvalidParameterValueException),
        ({'count': 'three'}, InvalidParameterTypeException),
        ({'held': ['nonsense']}, InvalidInputError),
    ],
)
def test_what_the_node_is_started_with_is_checked_too(graph, given, error) -> None:
    graph.begin(observer=given)
    with pytest.raises(error, match=next(iter(given))):
        ConfigParameters(graph.observer, Example())
