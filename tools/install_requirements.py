# SPDX-License-Identifier: Apache-2.0
"""Installs requirements/*.txt into the running environment, with the build of torch that fits.

The default build of torch brings several gigabytes of CUDA libraries. On a machine without an
NVIDIA GPU this script therefore takes the CPU build: from the package sources that pip is
configured with when they have one, else from PyTorch's own index. It asks pip for one file at a
time and never lets it resolve the CUDA packages just to look at them.

Run by ``make setup``. Environment variables:

- ``TORCH``: ``auto`` (default), ``cpu``, ``cuda``, or ``none``, which leaves out torch and what
  needs it; the shipped model then runs on ONNX Runtime;
- ``TORCH_CPU_INDEX``: where CPU builds of torch are published.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile

REQUIREMENTS = Path(__file__).resolve().parent.parent / 'requirements'
TORCH_CPU_INDEX = os.environ.get('TORCH_CPU_INDEX', 'https://download.pytorch.org/whl/cpu')
CUDA_PREFIXES = ('nvidia-', 'cuda-', 'triton')


LOG = Path(sys.prefix) / 'pip.log'
STEP = re.compile(r'Installing collected|Successfully|ERROR|\s+Downloading .*\([0-9.]+ [MG]B\)')


def pip(*arguments: str, show: bool = False) -> bool:
    """Run pip in this environment, with its output in ``LOG``.

    Args:
        arguments: What follows ``pip`` on the command line.
        show: Whether to show the large steps.

    Returns:
        Whether it succeeded.
    """
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments]
    with (
        LOG.open('a') as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if show and STEP.match(line):
                print(f'    {line.strip()[:100]}', flush=True)
    return process.returncode == 0


def has_nvidia_gpu() -> bool:
    """Return whether the driver of an NVIDIA GPU is running on this machine."""
    if any(Path('/proc/driver/nvidia/gpus').glob('*')):
        return True
    if shutil.which('nvidia-smi') is None:
        return False
    listing = subprocess.run(['nvidia-smi', '-L'], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and 'GPU' in listing.stdout


def torch_brings_cuda(requirement: str, *options: str) -> bool | None:
    """Return whether the build of torch that pip would take needs CUDA packages.

    Returns:
        None when pip finds no build of that name at all.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.json'
        ask = ['install', '--dry-run', '--ignore-installed', '--no-deps', '--report', str(report)]
        patience = ['--retries', '1', '--timeout', '20']
        if not pip(*ask, *patience, *options, requirement):
            return None
        (torch,) = json.loads(report.read_text())['install']
    needs = torch['metadata'].get('requires_dist', [])
    return any(need.startswith(CUDA_PREFIXES) and 'extra ==' not in need for need in needs)


def choose_torch() -> list[str]:
    """Return the arguments with which pip installs the build of torch that fits this machine.

    Empty if no torch is wanted.
    """
    requirement = (REQUIREMENTS / 'torch.txt').read_text().splitlines()[-1].strip()
    wanted = os.environ.get('TORCH', 'auto')
    if wanted not in ('auto', 'cpu', 'cuda', 'none'):
        sys.exit(f'TORCH={wanted} is not known. Use auto, cpu, cuda or none.')
    if wanted == 'none':
        return []
    if wanted == 'cuda' or (wanted == 'auto' and has_nvidia_gpu()):
        print(f'torch: the default build, {requirement}', flush=True)
        return [requirement]

    cpu_build = f'{requirement}+cpu'
    print('torch: no NVIDIA GPU, looking for the CPU build', flush=True)
    if torch_brings_cuda(cpu_build) is False:
        return [cpu_build]
    print(f'torch: taking it from {TORCH_CPU_INDEX}', flush=True)
    only_there = ['--index-url', TORCH_CPU_INDEX]
    if torch_brings_cuda(cpu_build, *only_there) is False:
        return [cpu_build, '--extra-index-url', TORCH_CPU_INDEX]
    print('torch: not found there, looking at the default build', flush=True)
    if torch_brings_cuda(requirement) is False:
        return [requirement]
    sys.exit(
        f'No CPU build of {requirement} was found, neither in the package sources of pip nor at\n'
        f'{TORCH_CPU_INDEX}. Set TORCH_CPU_INDEX to an index that has it, or run\n'
        '`make setup TORCH=cuda` to take the default build with several gigabytes of CUDA.'
    )


def main() -> None:
    """Install everything in one go, so that pip sees all requirements at once."""
    arguments = ['install', '--constraint', str(REQUIREMENTS / 'constraints.txt')]
    torch = choose_torch()
    for name in ('runtime', 'ros', 'build', 'dev', *(['export', 'parity'] if torch else [])):
        arguments += ['--requirement', str(REQUIREMENTS / f'{name}.txt')]
    if not pip(*arguments, *torch, show=True):
        sys.exit(f'pip failed; {LOG} has the whole story. Run the same command again to resume.')


if __name__ == '__main__':
    main()
