#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ROS 2 and this workspace, then the command: it gets the container's signals.
source /opt/ros/jazzy/setup.bash
source /ws/install/setup.bash
exec "$@"
