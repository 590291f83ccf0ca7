# SPDX-License-Identifier: Apache-2.0
"""The nodes as child processes in a ROS graph of their own, for commands that direct them.

What ``vjepa demo`` and ``vjepa eval --through ros`` share.
"""
