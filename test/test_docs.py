# SPDX-License-Identifier: Apache-2.0
"""What the pages say can be typed: commands and their options, launch arguments, names, links."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
import re
import shlex

import pytest

from vjepa_planner.cli.main import make_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')), *sorted(ROOT.glob('models/*/*.md'))]
NUMBERS = ('X', 'Y', 'Z', 'RX', 'RY', 'RZ', 'G')  # of a state, where a page leaves them open


def blocks(page: Path) -> Iterator[str]:
    """Yield the code blocks of a page that are not of another language than a shell's."""
    text = page.read_text()
    for match in re.finditer(r'^ *```(\w*)\n(.*?)^ *```', text, re.MULTILINE | re.DOTALL):
        if match[1] in ('', 'bash'):
            yield match[2]


def commands(*words: str) -> list:
    """Return, as parameters of a test, each command line that has these words in a row."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            for line in block.replace('\\\n', ' ').splitlines():
                try:
                    typed = shlex.split(line, comments=True)
                except ValueError:  # goes on in the next line, inside quotes
                    typed = line.split()
                for place in range(len(typed)):
                    here = [Path(typed[place]).name, *typed[place + 1 : place + len(words)]]
                    if here == list(words) and '...' not in typed:
                        rest = tuple(typed[place + len(words) :])
                        found.append(pytest.param(rest, id=f'{page.stem}: {line.strip()[:60]}'))
                        break
    assert found, f'no page has {" ".join(words)}'
    return found


@pytest.mark.parametrize('arguments', commands('vjepa'))
def test_commands_of_vjepa_have_the_options_that_they_are_given(arguments) -> None:
    make_parser().parse_args(['0' if word in NUMBERS else word for word in arguments])


@pytest.mark.parametrize('arguments', commands('make'))
def test_targets_of_make_exist(arguments) -> None:
    makefile = (ROOT / 'Makefile').read_text()
    for word in arguments:
        name, is_variable, _ = word.partition('=')
        assert re.search(rf'^{name}{" ?=" if is_variable else ":"}|\b{name} \?=', makefile, re.M)


def launch_arguments(file: Path) -> set[str]:
    """Return the names in a launch file and in what all of them share, without importing them."""
    names: set[str] = set()
    for source in (file, ROOT / 'vjepa_ros' / 'launching.py'):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Dict):
                names |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == 'DeclareLaunchArgument':
                names |= {word.value for word in node.args if isinstance(word, ast.Constant)}
    return names


@pytest.mark.parametrize('arguments', commands('ros2', 'launch', 'vjepa_ros'))
def test_launch_files_have_the_arguments_that_they_are_given(arguments) -> None:
    file = ROOT / 'launch' / arguments[0]
    assert file.is_file()
    for word in arguments[1:]:
        if ':=' in word:
            assert word.partition(':=')[0] in launch_arguments(file)


def sources() -> str:
    return '\n'.join(path.read_text() for path in ROOT.glob('vjepa_ros/**/*.py'))


def own_interface(name: str) -> bool:
    """Return whether an interface exists, if its package is one of those that are here."""
    package, kind, one = name.split('/')
    module = pytest.importorskip(f'{package}.{kind}')
    return hasattr(module, one)


@pytest.mark.parametrize('arguments', commands('ros2', 'service', 'call'))
def test_services_have_the_name_and_type_that_they_are_called_by(arguments) -> None:
    assert own_interface(arguments[1])
    assert f"'{Path(arguments[0]).name}'" in sources()


@pytest.mark.parametrize('arguments', commands('ros2', 'action', 'send_goal'))
def test_actions_have_the_name_and_type_that_they_are_called_by(arguments) -> None:
    name, kind = (word for word in arguments if not word.startswith(('-', '{')))
    assert own_interface(kind)
    assert f"'{Path(name).name}'" in sources()


@pytest.mark.parametrize('arguments', commands('ros2', 'param', 'set'))
def test_parameters_that_are_set_exist(arguments) -> None:
    node, name, _ = arguments
    import_module(f'vjepa_ros.{Path(node).name}_node')
    assert re.search(rf'^ +{name}: ', sources(), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        if re.match(r'\w+://|mailto:', target):
            continue
        path, _, section = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f'{page.name} links to {target}'
        if section:
            headings = re.findall(r'^#+ (.+)$', file.read_text(), re.MULTILINE)
            assert section in map(anchor, headings), f'{page.name} links to {target}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    folders = (
        'vjepa_planner|vjepa_ros|vjepa_msgs|test|launch|config|benchmarks|tools|docker|gazebo'
    )
    for name in re.findall(rf'`((?:{folders})/[\w./-]*(?:\.\w+|/))`', page.read_text()):
        assert (ROOT / name).exists(), f'{page.name} names {name}'
