# SPDX-License-Identifier: Apache-2.0
# Lets the interface packages build where ROS 2 came from the ros-* wheels of the Python package
# index. It returns at once where the ROS 2 of the environment is an ordinary installation.
#
# The wheels need three things from us: the prefix they were unpacked into has to be found, Python
# files have to go to that prefix's site-packages, and include directories of the machine that
# built the wheels have to be dropped from the imported targets.

if(NOT Python3_EXECUTABLE)
  find_program(Python3_EXECUTABLE NAMES python3 REQUIRED)
endif()

# 1. Which ROS 2 does this Python see? Only the wheels carry distributions named ros-*.
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c "
import importlib.metadata as metadata, pathlib, sys
try:
    metadata.distribution('ros-rosidl-adapter')
    import rosidl_adapter
except ImportError:
    sys.exit()
prefix = pathlib.Path(rosidl_adapter.__file__).resolve().parents[4]
print('%s;%d.%d' % (prefix, *sys.version_info[:2]))"
  OUTPUT_VARIABLE _wheels OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT _wheels)
  return()
endif()
list(GET _wheels 0 _prefix)
list(GET _wheels 1 _python_version)
message(STATUS "ROS 2 from Python wheels in ${_prefix}")

# 2. Find packages there. ament reads its index from the environment while configuring.
list(PREPEND CMAKE_PREFIX_PATH "${_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${_prefix}:$ENV{AMENT_PREFIX_PATH}")
# Debian's Python would answer local/lib/python3.x/dist-packages, which a venv does not read.
set(PYTHON_INSTALL_DIR "lib/python${_python_version}/site-packages" CACHE STRING "" FORCE)
# ament_lint_auto and the linters are not among the wheels.
set(BUILD_TESTING OFF CACHE BOOL "" FORCE)

# 3. The exported <package>__rosidl_generator_py targets name include directories of the machine
#    that built the wheels (/opt/python/...), and CMake refuses those that do not exist.
function(_drop_missing_include_directories)
  get_property(_targets DIRECTORY "${CMAKE_SOURCE_DIR}" PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT _directories)
      continue()
    endif()
    set(_kept)
    foreach(_directory IN LISTS _directories)
      if(_directory MATCHES "\\$<" OR NOT IS_ABSOLUTE "${_directory}" OR EXISTS "${_directory}")
        list(APPEND _kept "${_directory}")
      endif()
    endforeach()
    set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL _drop_missing_include_directories)
