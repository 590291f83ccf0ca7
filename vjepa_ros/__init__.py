# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes around :mod:`vjepa_planner`: convert, one core call, convert, publish."""
