#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the Python to build the environment with, after checking what set-up needs on this machine.
# Usage: find_python.sh [PYTHON]; without an argument, python3, python3.12 and python3.11 are tried.

missing=''
need() { missing="$missing
  - $1"; }

check='
import sys, sysconfig, os
assert sys.version_info[:2] in ((3, 11), (3, 12)), "version %d.%d" % sys.version_info[:2]
import ensurepip, venv
assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")), "no Python.h"
'

python=''
for candidate in ${1:-python3 python3.12 python3.11}; do
  reason=$("$candidate" -c "$check" 2>&1) && { python=$candidate; break; }
  echo "not using $candidate: $(printf '%s' "$reason" | tail -n 1)" >&2
done
[ -n "$python" ] ||
  need 'Python 3.11 or 3.12 with venv and headers; Debian, Ubuntu: apt install python3-venv python3-dev'

[ "$(uname -sm)" = 'Linux x86_64' ] || need "Linux on x86_64; the ROS 2 wheels exist for nothing else"
command -v "${CXX:-c++}" >/dev/null || need 'a C++ compiler; Debian, Ubuntu: apt install g++'
version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p')
case $version in
  '') need 'CMake 3.21 or newer; Debian, Ubuntu: apt install cmake' ;;
  [12].* | 3.[0-9].* | 3.1[0-9].* | 3.20.*) need "CMake 3.21 or newer; this one is $version" ;;
esac

if [ -n "$missing" ]; then
  echo "This machine lacks:$missing" >&2
  exit 1
fi
echo "$python"
