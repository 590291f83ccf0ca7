# SPDX-License-Identifier: Apache-2.0
"""The part of ``vjepa doctor`` that needs ROS: the environment, and the graph that runs.

It only listens: it publishes nothing but what rclpy does for every node, calls no service but the
reading of parameters and of controllers, and moves nothing. The module ``environment`` works
without ROS; ``graph`` does not.
"""
