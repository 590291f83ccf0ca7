# SPDX-License-Identifier: Apache-2.0
"""Runs test/faults and writes what came out as a table: ``make faults``.

Usage: ``python tools/fault_table.py docs/faults.md``
"""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
# Faults

What the commander and the nodes around it do when something breaks. Each row is a test of
`test/faults`: real nodes over DDS, the embedded simulator as the arm, and between them a proxy
that drops, delays, repeats, reorders, freezes or spoils messages; or processes that get real
signals. `make faults` runs them and writes this page ({cores} CPU cores, {load:.1f} of them busy
with other things when it began). *Promised* is for an idle machine: the tests allow four times as
much. The numbers of the cases are those of the project's list of 44; cases without a row have no
test here.

A commander that holds is either HOLDING and goes on with the next good plan, or STOPPED and waits
for somebody who looks and calls `start`. This is no functional safety: keep the emergency stop of
the robot within reach.

| case | fault | expected | result | measured |
|---|---|---|---|---|
"""


class Row(NamedTuple):
    """One test of one case."""

    case: int
    fault: str
    expected: str
    result: str
    measured: str


def run(report: Path) -> int:
    """Run the tests, report to a file, and return pytest's exit code."""
    command = [sys.executable, '-m', 'pytest', 'test/faults', f'--junitxml={report}']
    command += ['-o', 'junit_family=xunit1']  # the one that has properties of tests
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def rows(report: Path) -> list[Row]:
    """Return what a report says, in the order of the cases; one row per case and fault."""
    found: dict[tuple[int, str, str], tuple[list[str], list[str]]] = {}
    for test in ET.parse(report).getroot().iter('testcase'):
        properties = [(one.get('name', ''), one.get('value', '')) for one in test.iter('property')]
        facts = dict(properties)
        if 'case' not in facts:
            continue
        key = int(facts['case']), facts['fault'], facts['expected']
        results, measured = found.setdefault(key, ([], []))
        results.append(result(test))
        measured += [value for name, value in properties if name == 'measured']
    return sorted(
        Row(*key, '; '.join(sorted(set(results))), '; '.join(measured))
        for key, (results, measured) in found.items()
    )


def result(test: ET.Element) -> str:
    """Return how a test went, in words."""
    skipped = test.find('skipped')
    if skipped is not None:
        return f'not tested: {skipped.get("message", "")}'
    failed = test.find('failure') is not None or test.find('error') is not None
    return '**failed**' if failed else 'passed'


def main() -> int:
    """Run the tests and write the table."""
    if len(sys.argv) != 2:
        sys.exit('usage: python tools/fault_table.py docs/faults.md')
    head = HEAD.format(cores=os.cpu_count(), load=os.getloadavg()[0])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.xml'
        code = run(report)
        lines = [f'| {" | ".join(map(str, row))} |' for row in rows(report)]
    Path(sys.argv[1]).write_text(head + '\n'.join(lines) + '\n')
    return code


if __name__ == '__main__':
    sys.exit(main())
